{
  "file": "CARD_DATA_TWICE.csv",
  "rows": 3,
  "sha256": "2d78d943a6c370893fdf9e2c695df987a461b0380a225e35cfc628deb2e31700",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
