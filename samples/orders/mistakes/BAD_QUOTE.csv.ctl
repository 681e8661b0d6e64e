{
  "file": "BAD_QUOTE.csv",
  "rows": 3,
  "sha256": "c2c84631974d37f74ccc6f08375ec2504836564966e93d7244c98a347f635a3a",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
