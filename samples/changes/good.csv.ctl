{
  "file": "good.csv",
  "rows": 6,
  "sha256": "1562be60365aded5ad0a92d9ec27379c58d89eedd13505bb760ac18b67b0267c",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
