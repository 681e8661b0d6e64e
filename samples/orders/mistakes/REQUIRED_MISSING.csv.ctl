{
  "file": "REQUIRED_MISSING.csv",
  "rows": 3,
  "sha256": "64eb35706350859f7a0b8135dc15b93f2bb482ae730c5578fe131a20264bfab5",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
