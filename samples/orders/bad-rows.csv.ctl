{
  "file": "bad-rows.csv",
  "rows": 19,
  "sha256": "fcd75a0ec9dcb44fcfe2b313590f2248ac55e6ac305409d3261f3f5007ad0ae5",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 2,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
