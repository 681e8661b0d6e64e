{
  "file": "cards-1.csv",
  "rows": 3,
  "sha256": "509b8db51b9fb58dfe62348b4f5c60ee81acfda9802aa3e500da7a70915315b4",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 2,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
