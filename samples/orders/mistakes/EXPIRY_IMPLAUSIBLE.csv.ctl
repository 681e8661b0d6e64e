{
  "file": "EXPIRY_IMPLAUSIBLE.csv",
  "rows": 3,
  "sha256": "b9d82c399c9233cf5bcec07f0eb78976879b1fffe5ef5af2112845a6eceae336",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 1,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z"
}
