{
  "file": "TOO_LARGE.csv",
  "rows": 51,
  "sha256": "8d810afad7e48dcbce39e3c20a83cecc2e0b0dd627e637d1dacba573a764ee78",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
