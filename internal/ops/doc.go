// Package ops is what a running daemon shows to its machine: log lines, and its
// state to systemd.
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
// # systemd
//
// [Notify] tells systemd that the daemon is ready or stopping, when it was
// started as a unit of Type=notify.
package ops
