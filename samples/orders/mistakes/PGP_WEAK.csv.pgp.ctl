{
  "file": "PGP_WEAK.csv.pgp",
  "rows": 3,
  "sha256": "29c3329831224b4588dbec52c60e509e826582f7ecd00c96c03fb94c67d9e976",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
