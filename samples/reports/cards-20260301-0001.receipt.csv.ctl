{
  "file": "cards-20260301-0001.receipt.csv",
  "kind": "receipt",
  "rows": 18,
  "sha256": "df8220da57f2d556dc8e1dcafcfa9b35f9386c4d8294af6982674d8f2790019c",
  "size": 1125,
  "issuer_id": "demo-bank",
  "business_date": "2026-03-01",
  "revision": 1,
  "created_at": "2026-03-01T22:15:03Z",
  "batch": "20260301T221503-000001",
  "source_file": "cards-20260301-0001.csv",
  "sequence": 1,
  "next_expected_sequence": 4,
  "control_totals": "present",
  "verdict": "accepted",
  "state": "accepted",
  "totals": {
    "rows": 8,
    "accepted": 6,
    "rejected": 1,
    "duplicate": 1
  },
  "products": {
    "MC_CREDIT_GOLD": {
      "rows": 1,
      "accepted": 1,
      "rejected": 0,
      "duplicate": 0
    },
    "VISA_DEBIT_STD": {
      "rows": 7,
      "accepted": 5,
      "rejected": 1,
      "duplicate": 1
    }
  },
  "balanced": true,
  "breaks": [],
  "echo": {
    "run": "EOD-17"
  }
}
