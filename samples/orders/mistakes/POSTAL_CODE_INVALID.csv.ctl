{
  "file": "POSTAL_CODE_INVALID.csv",
  "rows": 3,
  "sha256": "f57e1af18066b2710f8971afa8c4c2af027b19a755770fe0726443352c402a98",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
