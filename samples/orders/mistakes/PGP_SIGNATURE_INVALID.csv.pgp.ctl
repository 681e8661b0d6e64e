{
  "file": "PGP_SIGNATURE_INVALID.csv.pgp",
  "rows": 3,
  "sha256": "ef9d0b5ce2d4901dfeaefe51d5e1e49bcfbac6baca105ee052adcb6a909b0cc0",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
