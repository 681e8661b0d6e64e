{
  "file": "COMPRESSION_INVALID.csv",
  "rows": 3,
  "sha256": "6a1b0fb92c47033daa7c518a845be8a1f9baa2dfeae1508e72657d7b7111e816",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
