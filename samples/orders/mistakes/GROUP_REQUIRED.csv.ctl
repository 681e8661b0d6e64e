{
  "file": "GROUP_REQUIRED.csv",
  "rows": 3,
  "sha256": "f1ded484514f8ec0e7cef6b52899ac038b3e5d254b789b119312ff0a90ee061a",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
