package d1sim

import "net/http"

// serveBatch is the batch order: not simulated yet.
func (s *Simulator) serveBatch(w http.ResponseWriter, _ *http.Request) {
	(&apiError{status: http.StatusNotFound}).write(w)
}
