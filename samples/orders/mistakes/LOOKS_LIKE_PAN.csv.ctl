{
  "file": "LOOKS_LIKE_PAN.csv",
  "rows": 3,
  "sha256": "29088e46a9e511f94ddfa5c20b304d6c6901e2f8503a26ccd10704a5c70e26c3",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
