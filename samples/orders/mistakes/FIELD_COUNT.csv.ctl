{
  "file": "FIELD_COUNT.csv",
  "rows": 3,
  "sha256": "101eec546b931b92acecc2948578f2fe1c7e62fd7e5515e7f6f0732c71ef7f6a",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
