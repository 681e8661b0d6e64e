{
  "file": "COMPRESSION_INVALID.csv",
  "rows": 3,
  "sha256": "a3bb574bbf7508177a90b5f88fd057299125e765e8bb9c7a19396888006d5a2e",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
