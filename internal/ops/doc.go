// Package ops is what a running daemon shows to its machine: log lines, metrics
// and health, and its state to systemd.
//
// # Logs
//
// [NewLogger] writes one JSON object a line to standard error, or readable lines
// for people. The keys are closed: job run stage session issuer source batch
// file order line attempt code err duration count, beside time, level and
// message. What is logged is typed so that it cannot hold card or personal data;
// as a last line of defence every line passes [Scrub], which masks what looks
// like a card number.
//
// # Metrics and health
//
// [Metrics] counts, and is the only one that knows Prometheus: other packages
// declare the one or two methods they need. Values that are kept elsewhere, such
// as how many orders wait, are asked for when they are read, and not too often
// ([Gauge]). [Listen] shows them, with /healthz and /readyz, on an address of its own.
//
// # systemd
//
// [Notify] tells systemd that the daemon is ready or stopping, when it was
// started as a unit of Type=notify. [Socket] takes a socket over that systemd
// has bound, so that nobody is refused while the daemon restarts.
package ops
