{
  "file": "cards-2.csv",
  "rows": 3,
  "sha256": "5680a366335cc77544f502473d9cf4498bc236d2ae43bdd4388e2acef379472e",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 2,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
