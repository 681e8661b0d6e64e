{
  "file": "ADDRESS_INCOMPLETE.csv",
  "rows": 3,
  "sha256": "5c06f5da1cd7733688a22be1d63da05584fc6e1901aedfde78519f4e628dc9fb",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
