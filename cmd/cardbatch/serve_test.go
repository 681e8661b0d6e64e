package main

import (
	"testing"
	"time"
)

func TestScheduleClock(t *testing.T) {
	var c clockFlag
	began := time.Now().UTC().Add(-time.Second)
	if err := c.Set(began.Format(time.RFC3339Nano) + ",60"); err != nil {
		t.Fatal(err)
	}
	if ahead := c.Now().Sub(began); c.Speed != 60 || ahead < time.Minute || ahead > time.Hour {
		t.Errorf("after a second it is %s later, speed %d", ahead, c.Speed)
	}
	for _, text := range []string{"", "60", "2026-03-01T22:00:00Z", "2026-03-01T22:00:00Z,0", "2026-03-01T22:00:00Z,x", "tonight,60"} {
		if err := c.Set(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
