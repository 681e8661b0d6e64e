{
  "file": "PAN_OUTSIDE_BIN.csv",
  "rows": 3,
  "sha256": "fd834fff04bd35e4b979f92a8364d70b4b897512fa439588f5c1bd47af81aeb2",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
