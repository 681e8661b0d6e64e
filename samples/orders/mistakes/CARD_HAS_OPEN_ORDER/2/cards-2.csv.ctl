{
  "file": "cards-2.csv",
  "rows": 3,
  "sha256": "a7fb765574461f10a84a198b1241a64860d548f0b303eaad2a0d5f75caaa6aef",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 2,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
