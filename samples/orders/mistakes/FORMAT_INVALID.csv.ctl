{
  "file": "FORMAT_INVALID.csv",
  "rows": 3,
  "sha256": "fd1fb42e742489fc0e2e67955aeac66db34ff912173ad36b36ed4a7b575efc0b",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
