package night_test

import (
	"bufio"
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"

	"cardbatch/internal/drop/sftp/sftptest"
)

// byTime is the moment that is none: it comes when patience ends.
const byTime = "time"

// moments are where a process can be caught. Each is passed many times in a
// night, some by every process, some by the one that does the work.
func moments() []string {
	return []string{
		byTime,
		"order arrives", "order lost", "order done", "token arrives", "status arrives", "status done",
		"news half", "news whole", "news answered",
		"sftp list drop", "sftp rename drop", "sftp open drop", "sftp read drop",
		"sftp create reports", "sftp write reports", "sftp rename reports", "sftp stat reports",
	}
}

// trap waits for the n-th time that something happens, and springs then, once.
type trap struct {
	mu     sync.Mutex
	moment string
	left   int
	cut    bool // what happens then, does not happen
	spring func()
	sprung chan struct{}

	passed map[string]int // how often each moment came
	seen   func(*http.Request)
}

// watch has every request to D1 shown to see, from now on.
func (t *trap) watch(see func(*http.Request)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen = see
}

func (t *trap) show(r *http.Request) {
	t.mu.Lock()
	see := t.seen
	t.mu.Unlock()
	if see != nil {
		see(r)
	}
}

func newTrap() *trap { return &trap{passed: map[string]int{}} }

// set makes it wait for the n-th such moment from now. The channel is closed
// when it has sprung.
func (t *trap) set(moment string, n int, cut bool, spring func()) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.moment, t.left, t.cut, t.spring, t.sprung = moment, n, cut, spring, make(chan struct{})
	return t.sprung
}

// disarm makes it wait for nothing, and reports whether it was too late for that.
func (t *trap) disarm() (sprung bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sprung, t.spring = t.spring == nil, nil
	return sprung
}

// passes is called at a moment. Whoever is caught is dead when it returns true.
func (t *trap) passes(moment string) (caught, cut bool) {
	t.mu.Lock()
	defer t.mu.Unlock() // disarm waits until the victim is dead
	t.passed[moment]++
	if t.spring == nil || t.moment != moment {
		return false, false
	}
	if t.left--; t.left > 0 {
		return false, false
	}
	t.spring()
	t.spring = nil
	close(t.sprung)
	return true, t.cut
}

// wrapD1 stands before D1's API.
func (t *trap) wrapD1(d1 http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := "order"
		switch {
		case strings.Contains(r.URL.Path, "oauth2"):
			kind = "token"
		case strings.HasSuffix(strings.ToLower(r.URL.Path), "/productionstatus"):
			kind = "status"
		case strings.HasSuffix(r.URL.Path, "updateOrder"):
			kind = "change"
		}
		t.show(r)
		t.passes(kind + " arrives") // it goes on: what is on the wire arrives
		if caught, _ := t.passes(kind + " lost"); caught {
			panic(http.ErrAbortHandler)
		}
		late := &lateAnswer{ResponseWriter: w}
		d1.ServeHTTP(late, r)
		t.passes(kind + " done")
		late.send()
	})
}

// lateAnswer keeps an answer back until all is done.
type lateAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *lateAnswer) WriteHeader(status int)      { a.status = status }
func (a *lateAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }

// Hijack lets D1 reset the connection.
func (a *lateAnswer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(a.ResponseWriter).Hijack()
}

func (a *lateAnswer) send() {
	if a.status != 0 {
		a.ResponseWriter.WriteHeader(a.status)
	}
	_, _ = a.body.WriteTo(a.ResponseWriter) // the reader may be dead
}

// hook is asked by the SFTP server before every operation.
func (t *trap) hook(op, name string) error {
	dir, _, _ := strings.Cut(path.Clean(name), "/")
	if _, cut := t.passes("sftp " + op + " " + dir); cut {
		return sftptest.Cut
	}
	return nil
}

// deck deals moments so that none is forgotten.
type deck struct {
	rnd  *rand.Rand
	left []string
}

func (d *deck) deal() string {
	if len(d.left) == 0 {
		d.left = moments()
		d.rnd.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	m := d.left[0]
	d.left = d.left[1:]
	return m
}

var errLost = errors.New("lost")
