{
  "file": "bad-rows.csv",
  "rows": 14,
  "sha256": "b2a00652f816c407a605c467349d19abb5240529e2d78012fa7d15b71d9f70fd",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 2,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
