package issuance

import "fmt"

// Totals counts the orders of a file, a product or a day by state and phase.
type Totals struct {
	Rows   int64
	states map[State]int64
	phases map[Phase]int64
}

// Add counts n orders of the given state and, when it is [Submitted], phase.
// It does not touch Rows, which is known from elsewhere: from the file.
func (t *Totals) Add(s State, p Phase, n int64) {
	if t.states == nil {
		t.states, t.phases = map[State]int64{}, map[Phase]int64{}
	}
	t.states[s] += n
	if s == Submitted {
		t.phases[p] += n
	}
}

// AddOrder counts one order.
func (t *Totals) AddOrder(o *Order) { t.Add(o.State, o.Production.Phase(), 1) }

// Merge adds the counts and rows of u.
func (t *Totals) Merge(u Totals) {
	t.Rows += u.Rows
	for s, n := range u.states {
		if s != Submitted {
			t.Add(s, "", n)
		}
	}
	for p, n := range u.phases {
		t.Add(Submitted, p, n)
	}
}

// State returns how many orders are in state s.
func (t *Totals) State(s State) int64 { return t.states[s] }

// Phase returns how many submitted orders are in phase p.
func (t *Totals) Phase(p Phase) int64 { return t.phases[p] }

// Open returns how many orders keep the batch from settling.
func (t *Totals) Open() int64 {
	return t.State(Held) + t.State(Ready) + t.State(Submitting) + t.State(Unknown)
}

// Term is one term of the control equation.
type Term struct {
	Name  string
	Count int64
}

// Terms returns the whole equation: the rows, each state, and the phases of
// the submitted orders.
func (t *Totals) Terms() []Term {
	terms := []Term{{"rows", t.Rows}}
	for _, s := range States() {
		terms = append(terms, Term{string(s), t.State(s)})
	}
	for _, p := range Phases() {
		terms = append(terms, Term{string(p), t.Phase(p)})
	}
	return terms
}

// Break is a difference that the control equation does not allow.
type Break struct {
	Equation string
	Left     int64
	Right    int64
}

// String states both sides.
func (b Break) String() string { return fmt.Sprintf("%s: %d is not %d", b.Equation, b.Left, b.Right) }

// Breaks returns what does not balance, nothing when all does. Counts under a
// state or phase that the equation does not have show up as a difference.
func (t *Totals) Breaks() []Break {
	var breaks []Break
	var rows, submitted int64
	for _, s := range States() {
		rows += t.State(s)
	}
	for _, p := range Phases() {
		submitted += t.Phase(p)
	}
	if rows != t.Rows {
		breaks = append(breaks, Break{"rows = sum of the states", t.Rows, rows})
	}
	if submitted != t.State(Submitted) {
		breaks = append(breaks, Break{"submitted = sum of the phases", t.State(Submitted), submitted})
	}
	return breaks
}

// Balanced reports whether the control equation holds.
func (t *Totals) Balanced() bool { return len(t.Breaks()) == 0 }
