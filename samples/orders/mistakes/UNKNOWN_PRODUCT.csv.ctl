{
  "file": "UNKNOWN_PRODUCT.csv",
  "rows": 3,
  "sha256": "b68630a849d844f51643176b1a4659a555578d4efad177654af862989eac5544",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
