{
  "file": "PGP_NOT_FOR_US.csv.pgp",
  "rows": 3,
  "sha256": "9beca62cd136983dc961b0d7a0a6b8bcfc268736b28d030b935c1d9e0b0699ee",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
