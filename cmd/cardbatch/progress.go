package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"cardbatch/internal/app"

	"golang.org/x/term"
)

// progressEvery is how often the line of progress is renewed.
const progressEvery = 500 * time.Millisecond

// progress keeps one line on the terminal up to date while a run goes on, and
// takes it away when the returned function is called. When w is no terminal it
// does nothing.
func progress(ctx context.Context, w io.Writer, what string, a *app.App) (stop func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	started := now()
	wg.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				_, _ = io.WriteString(w, "\r\x1b[K")
				return
			case <-tick.C:
				_, _ = io.WriteString(w, "\r\x1b[K"+progressLine(ctx, what, a, now().Sub(started)))
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

func progressLine(ctx context.Context, what string, a *app.App, took time.Duration) string {
	text := fmt.Sprintf("%s  %s", what, took.Truncate(time.Second))
	if ready, err := a.Ready(ctx); err == nil && ready > 0 {
		text += fmt.Sprintf("  %s orders ready", thousands(ready))
	}
	return text
}
