{
  "file": "TOO_MANY_REJECTS.csv",
  "rows": 3,
  "sha256": "dd1279492686d76d32669a49d8b6f313181f085981a35292985dfe52d24a22f4",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
