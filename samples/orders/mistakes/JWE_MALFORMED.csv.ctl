{
  "file": "JWE_MALFORMED.csv",
  "rows": 3,
  "sha256": "aa76e59587d400369d55774f3b5f7f984293e2ee7be7e2a157432b4f94507909",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
