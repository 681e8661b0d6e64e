{
  "file": "PAN_REPEATED.csv",
  "rows": 3,
  "sha256": "e464dd9273d13afb7ce04a2e0fef7fcacecc785d97f025443ebf21b8dc57133b",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
