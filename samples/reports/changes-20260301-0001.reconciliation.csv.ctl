{
  "file": "changes-20260301-0001.reconciliation.csv",
  "kind": "change-reconciliation",
  "rows": 10,
  "sha256": "449cd83d53115ebfeb6f43dfa29acad1cd515f22183a90ce449307408b35ddac",
  "size": 1216,
  "issuer_id": "demo-bank",
  "business_date": "2026-03-01",
  "revision": 1,
  "created_at": "2026-03-02T07:15:03Z",
  "batch": "20260301T221503-000003",
  "source_file": "changes-20260301-0001.csv",
  "sequence": 3,
  "control_totals": "present",
  "verdict": "accepted",
  "state": "settled",
  "totals": {
    "rows": 10,
    "rejected": 1,
    "duplicate": 1,
    "waiting": 0,
    "submitting": 0,
    "unknown": 0,
    "held": 0,
    "submitted": 1,
    "applied": 1,
    "done": 1,
    "too_late": 3,
    "refused": 1,
    "unmatched": 1
  },
  "products": {},
  "balanced": true,
  "breaks": [],
  "echo": {
    "run": "EOD-17"
  }
}
