package d1sim

// heap is a priority queue: pop gives what is before all others.
// container/heap would box every entry.
type heap[T interface{ Before(T) bool }] []T

func (h *heap[T]) push(e T) {
	s := append(*h, e)
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if !s[i].Before(s[up]) {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
	*h = s
}

func (h *heap[T]) pop() T {
	s := *h
	first, n := s[0], len(s)-1
	var zero T
	s[0], s[n] = s[n], zero
	s = s[:n]
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < n; c++ {
			if s[c].Before(s[least]) {
				least = c
			}
		}
		if least == i {
			break
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
	*h = s
	return first
}
