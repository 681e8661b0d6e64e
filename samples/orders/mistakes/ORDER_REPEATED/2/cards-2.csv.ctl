{
  "file": "cards-2.csv",
  "rows": 3,
  "sha256": "d60717ed2aabfd4e98586e97d5f4c742be97ed15a5fa072c1893d048d305c30e",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 2,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
