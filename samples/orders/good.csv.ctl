{
  "file": "good.csv",
  "rows": 20,
  "sha256": "5ef4256b81efa080cf1cab3a6b21f2a476f45a5165c6af1a0a50b593849c702c",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z",
  "products": {
    "MC_CREDIT_GOLD": 1,
    "VISA_DEBIT_STD": 19
  }
}
