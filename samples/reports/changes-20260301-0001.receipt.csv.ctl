{
  "file": "changes-20260301-0001.receipt.csv",
  "kind": "receipt",
  "rows": 16,
  "sha256": "35763117db1a3b26156b0b8534fae7c4ce245e66b394f68d9431d949802a3e89",
  "size": 1035,
  "issuer_id": "demo-bank",
  "business_date": "2026-03-01",
  "revision": 1,
  "created_at": "2026-03-01T22:15:03Z",
  "batch": "20260301T221503-000003",
  "source_file": "changes-20260301-0001.csv",
  "sequence": 3,
  "next_expected_sequence": 4,
  "control_totals": "present",
  "verdict": "accepted",
  "state": "accepted",
  "totals": {
    "rows": 10,
    "accepted": 8,
    "rejected": 1,
    "duplicate": 1
  },
  "products": {},
  "balanced": true,
  "breaks": [],
  "echo": {
    "run": "EOD-17"
  }
}
