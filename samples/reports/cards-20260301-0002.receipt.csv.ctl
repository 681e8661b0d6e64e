{
  "file": "cards-20260301-0002.receipt.csv",
  "kind": "receipt",
  "rows": 14,
  "sha256": "9d85893c529389b50e73eb025169890e5770f4d4a5b823853a27be52c51c35de",
  "size": 883,
  "issuer_id": "demo-bank",
  "business_date": "2026-03-01",
  "revision": 1,
  "created_at": "2026-03-01T22:15:03Z",
  "batch": "20260301T221503-000002",
  "source_file": "cards-20260301-0002.csv",
  "sequence": 2,
  "next_expected_sequence": 4,
  "control_totals": "present",
  "verdict": "refused",
  "state": "refused",
  "code": "CHECKSUM_MISMATCH",
  "reason": "the control file announces another SHA-256 than the file has",
  "totals": {
    "rows": 0,
    "accepted": 0,
    "rejected": 0,
    "duplicate": 0
  },
  "products": {},
  "balanced": true,
  "breaks": [],
  "echo": {
    "run": "EOD-17"
  }
}
