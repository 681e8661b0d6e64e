{
  "file": "COUNTRY_NOT_ALLOWED.csv",
  "rows": 3,
  "sha256": "262082e34dfe27a773bc289a57fb76e82945180da2ea483176d32e4e5609e47e",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
