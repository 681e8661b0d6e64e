{
  "file": "PGP_NOT_ENCRYPTED.csv.pgp",
  "rows": 3,
  "sha256": "7f691d8c83f017508f3a971ad6f575cb68785450007a4c70fc459a7096f8e5b0",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
