{
  "file": "CARD_DATA_MISSING.csv",
  "rows": 3,
  "sha256": "43da6730dde788773c6853f2fa836371b39a9b370fcddbf4d9c39a8a0d06cb57",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
