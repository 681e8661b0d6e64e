package main

import (
	"fmt"
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress shows bars on a terminal, and nothing anywhere else.
type progress struct {
	out  io.Writer
	bars *mpb.Progress
	by   map[string]*mpb.Bar
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &progress{}
	}
	return &progress{out: w, bars: mpb.New(mpb.WithOutput(w), mpb.WithWidth(50)), by: map[string]*mpb.Bar{}}
}

// set shows that n of total are done; the total may still be unknown, 0.
func (p *progress) set(name string, n, total int64) {
	if p.bars == nil {
		return
	}
	bar := p.by[name]
	if bar == nil {
		bar = p.bars.AddBar(0,
			mpb.PrependDecorators(decor.Name(fmt.Sprintf("%-18s", name))),
			mpb.AppendDecorators(decor.CountersNoUnit("%7d of %d")))
		p.by[name] = bar
	}
	bar.SetTotal(max(total, n), false)
	bar.SetCurrent(n)
}

// say prints a line above the bars.
func (p *progress) say(text string) {
	if p.bars != nil {
		_, _ = fmt.Fprintln(p.bars, text)
	}
}

// close leaves the bars as they are.
func (p *progress) close() {
	if p.bars == nil {
		return
	}
	for _, bar := range p.by {
		bar.SetTotal(-1, true)
		bar.Abort(false)
	}
	p.bars.Wait()
}
