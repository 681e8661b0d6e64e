{
  "file": "FILE_UNREADABLE.csv",
  "rows": 3,
  "sha256": "7acc57b17399a1ace34af48d8bf0647ea525651cbe13ae41e84393a3f5753a00",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
