{
  "file": "PGP_SIGNER_UNTRUSTED.csv.pgp",
  "rows": 3,
  "sha256": "d61304b3bd8510b8a22ac05496f4037d4a4cc781bf8b730396b0140adbf1531e",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
