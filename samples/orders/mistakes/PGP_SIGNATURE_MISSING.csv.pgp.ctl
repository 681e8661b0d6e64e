{
  "file": "PGP_SIGNATURE_MISSING.csv.pgp",
  "rows": 3,
  "sha256": "761b652f5d6aed436d681eb7804fd2a756c5b4cb86cccd44ca5a3e8d6f5cb9bd",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
