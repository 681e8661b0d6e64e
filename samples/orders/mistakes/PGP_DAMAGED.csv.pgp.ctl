{
  "file": "PGP_DAMAGED.csv.pgp",
  "rows": 3,
  "sha256": "24694c6ca10ee03551f611a4a95be2ebf82fc5ef88caea7a418e976e8ecd4fff",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
