{
  "file": "EXPIRY_INVALID.csv",
  "rows": 3,
  "sha256": "b049b7b0bc4abcbf984c0f1a51c94ab3696875f42fddfbf664047d63ded47c16",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
