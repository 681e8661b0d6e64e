{
  "file": "good.csv.gz.pgp",
  "rows": 20,
  "sha256": "6127ef32c2ec9eced620f643ad86b0b5aed02850c266fa80715e31e12bf2e42f",
  "issuer_id": "DEMO_BANK1",
  "environment": "TEST",
  "sequence": 2,
  "business_date": "2026-12-01",
  "created_at": "2026-12-01T21:30:00Z",
  "products": {
    "MC_CREDIT_GOLD": 1,
    "VISA_DEBIT_STD": 19
  }
}
