{
  "file": "HEADER_INVALID.csv",
  "rows": 3,
  "sha256": "05902825f9667dfbdf9a892f81ba6203238d9cc61f784d601cfca8e758428cf2",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
