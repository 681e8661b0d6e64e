package report

import "testing"

func TestStem(t *testing.T) {
	for name, want := range map[string]string{
		"cards-1.csv": "cards-1", "drop/cards-1.csv": "cards-1", "cards-1.csv.gz": "cards-1", "cards-1.CSV.ZIP": "cards-1",
		"cards-1.csv.gz.pgp": "cards-1", "cards-1.dat": "cards-1.dat", ".csv": ".csv",
	} {
		if got := stem(name); got != want {
			t.Errorf("the stem of %s is %s, want %s", name, got, want)
		}
	}
}
