{
  "file": "CHARSET_INVALID.csv",
  "rows": 3,
  "sha256": "4ff7380c8584b60a4a72132caadb1f23c93df29da6247f126a60494fa5cfea7c",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
