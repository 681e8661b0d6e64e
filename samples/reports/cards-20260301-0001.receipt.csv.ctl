{
  "file": "cards-20260301-0001.receipt.csv",
  "kind": "receipt",
  "rows": 18,
  "sha256": "a53d3e3d28a0e51f502e55fa584814e30d3c4282a8d9874e2643b1db64d6aac4",
  "size": 1125,
  "issuer_id": "demo-bank",
  "business_date": "2026-03-01",
  "revision": 1,
  "created_at": "2026-03-01T22:15:03Z",
  "batch": "20260301T221503-000001",
  "source_file": "cards-20260301-0001.csv",
  "sequence": 1,
  "next_expected_sequence": 2,
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
