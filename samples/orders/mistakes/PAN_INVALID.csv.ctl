{
  "file": "PAN_INVALID.csv",
  "rows": 3,
  "sha256": "d7bc9c5e3feb5da3fda0b84e657a912fdbd4c202d3eee1f7a00ffc81492fe567",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
