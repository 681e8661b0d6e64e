{
  "file": "VALUE_NOT_ALLOWED.csv",
  "rows": 3,
  "sha256": "da7abfe8334a3a929ab8a93cd359cef2e405c559d35711d12c0222c960a148c0",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
