{
  "file": "NAME_NOT_EMBOSSABLE.csv",
  "rows": 3,
  "sha256": "006dea6d739fc80eb8d5a850edf80884c6130bd29805c63fec0f40ca16102ef3",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
