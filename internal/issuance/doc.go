// Package issuance is the domain: order files become batches, rows become
// orders, and every order is in exactly one state. It holds those states, the
// only functions that may change them, and the control equation they satisfy.
// It imports the standard library and nothing else.
//
// # An order
//
//	rejected   duplicate                       decided at intake, final
//
//	held <-> ready -> submitting -> submitted  D1 has it
//	  |        |          |-> refused          D1 said no
//	  |        |          |-> unknown          nobody can say; ask D1
//	  v        v          '-> ready            surely not delivered
//	 cancelled              unknown -> submitted | ready | held
//
// Evidence beats opinion: when D1 reports on an order, in a notification or in
// an answer to productionStatus, D1 has it, so every live state may become
// submitted. An order that waits to be sent again and turns out to be in
// production must not be sent again.
//
// A submitted order carries D1's production status. Notifications arrive late,
// twice and in disorder, so the status never simply takes the newest arrival:
// the one that is furthest along in production wins (see [ProductionStatus]).
//
// # A batch
//
//	loading -> accepted -> settled -> closed
//	        |-> held -> accepted
//	        '-> refused
//
// Orders of a batch can be sent from the moment it is accepted, which is one
// step for all of them. Settled means that nothing is left to be sent or
// decided; closed means that no further news is expected.
//
// # A change
//
// A bank may ask to cancel, accelerate or redirect an order it has given. A
// change is a row of a file of changes, with states of its own; the order stays
// an order in its own state:
//
//	rejected   duplicate                          decided at intake, final
//
//	waiting -> applied                            made in our copy of the order
//	  |  ^---> submitting -> submitted -> done    the center has made it
//	  |            |-> unknown  '-> too_late | refused
//	  |            '-> waiting, refused, too_late
//	  '-> too_late, unmatched, held
//
// [Change.Next] says what follows for one that waits, and [Change.Hear] what
// D1's news does to one that was sent. Their equation is
// that rows are the sum of all states ([ChangeTotals]).
//
// # The control equation
//
//	rows      = rejected + duplicate + cancelled + held + ready + submitting
//	            + unknown + refused + submitted
//	submitted = awaiting + in production + on hold + failed + canceled + shipped
//
// [Totals.Balanced] checks it, and every report states it.
package issuance
