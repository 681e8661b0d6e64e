package notification_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/issuance"
	"cardbatch/internal/notification"
	"cardbatch/internal/store"
	"cardbatch/internal/store/storetest"
)

// killedWith names, in the child's environment, the database that it serves.
const killedWith = "CARDBATCH_TEST_KILLED_WITH"

var steps = []issuance.ProductionStatus{issuance.CardProdRequested, issuance.DataPrepared, issuance.CardProdReady,
	issuance.CardProdOngoing, issuance.CardProdDone, issuance.CardShipped}

// TestServeUntilKilled is the child of TestKilledWhileItReceives: it takes
// notifications, and loads a file meanwhile, until it is killed.
func TestServeUntilKilled(t *testing.T) {
	file := os.Getenv(killedWith)
	if file == "" {
		t.Skip("runs in a process of its own")
	}
	s, err := store.Open(t.Context(), store.Config{Path: file})
	must(t, err)
	session, err := s.StartSession(t.Context(), "child")
	must(t, err)
	bench := newBench(t, func(_ *notification.Config, d *notification.Deps) { d.Store, d.Log = s, zerolog.Nop() })
	server, err := notification.Listen(t.Context(), notification.ServerConfig{Addr: "127.0.0.1:0", Handler: bench})
	must(t, err)
	go loadForEver(t, s, session)
	_, err = fmt.Fprintf(os.Stdout, "\nlistening on %s\n", server.Addr())
	must(t, err)
	must(t, server.Serve(t.Context()))
}

func loadForEver(t *testing.T, s *store.Store, session string) {
	t.Helper()
	why := issuance.Why{At: time.Now().UTC(), Stage: "intake", Session: session}
	b, err := s.ClaimFile(t.Context(), issuance.Batch{Source: "test", IssuerID: issuer, FileName: fmt.Sprintf("%s.csv", session),
		Session: session, State: issuance.BatchLoading, BusinessDate: "2026-03-02", ReceivedAt: why.At, Why: why})
	for n := int64(0); err == nil; n += 100 {
		rows := make([]issuance.NewOrder, 100)
		for i := range rows {
			row := n + int64(i) + 1
			rows[i] = issuance.NewOrder{Order: issuance.Order{Ref: issuance.NewRef(b.No, row), Line: row + 1, IssuerID: issuer,
				OrderID: fmt.Sprintf("%s-%d", session, row), CardID: fmt.Sprintf("%s-%d", session, row), State: issuance.Ready,
				Urgency: issuance.Normal, ContentMAC: []byte("m")}, Payload: make([]byte, 1500)}
		}
		err = s.AddOrders(t.Context(), b.No, rows)
	}
	t.Error(err) // it is killed before
}

// A notification that was answered 204 is applied after a kill, at whatever
// moment, also while a file is being loaded; what was not answered D1 sends
// again, and in the end nothing is missing and nothing was applied twice.
func TestKilledWhileItReceives(t *testing.T) {
	t.Parallel()
	const orders = 100
	file := string(storetest.SQLite(t))
	s, _ := newOrdersIn(t, file, orders)
	n := &news{left: map[int]string{}, told: map[int]int{}}
	for o := range orders {
		for at, step := range steps {
			n.left[o*len(steps)+at] = `{"operations":[` + operation(o, string(step), at) + `]}`
		}
	}
	for _, answers := range []int{1, 40, 160, 1 << 30} { // the last time it is not killed before all is said
		n.sendUntilKilled(t, file, answers)
		n.check(t, s, orders)
	}
	if len(n.left) > 0 {
		t.Errorf("%d were never answered 204", len(n.left))
	}
	totals, err := s.BatchTotals(t.Context(), 1)
	must(t, err)
	if totals.Phase(issuance.Shipped) != orders {
		t.Errorf("terms: %v", totals.Terms())
	}
	must(t, s.Balance(t.Context()))
}

// news is what D1 has to say.
type news struct {
	mu   sync.Mutex
	left map[int]string // not answered yet
	told map[int]int    // by order: 1 + the furthest step that was answered 204
}

// sendUntilKilled starts a child and sends it what is left, in disorder and some
// of it twice, until it has given so many answers or has heard everything.
func (n *news) sendUntilKilled(t *testing.T, file string, answers int) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServeUntilKilled$")
	child.Env = append(os.Environ(), killedWith+"="+file)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines, addr := bufio.NewScanner(out), ""
	for addr == "" && lines.Scan() {
		addr, _ = strings.CutPrefix(lines.Text(), "listening on ")
		if !strings.Contains(addr, ":") {
			addr = ""
		}
	}
	if addr == "" {
		t.Fatal("the child does not listen")
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	work, enough, once := make(chan int), make(chan struct{}), sync.Once{}
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for i := range work {
				if n.send(ctx, "http://"+addr, i) {
					if n.mu.Lock(); len(n.left) == 0 || answers <= 1 {
						once.Do(func() { close(enough) })
					}
					answers--
					n.mu.Unlock()
				}
			}
		})
	}
	go func() {
		defer close(work)
		for _, i := range n.shuffled() {
			select {
			case work <- i:
			case <-enough:
				return
			}
		}
	}()
	go func() { // an answer that never comes is found missing in the end
		clients.Wait()
		once.Do(func() { close(enough) })
	}()
	<-enough
	must(t, child.Process.Kill()) // while others are under way
	clients.Wait()
	_ = child.Wait() // it was killed
}

func (n *news) shuffled() []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []int
	for i := range n.left {
		all = append(all, i)
		if rand.IntN(3) == 0 {
			all = append(all, i)
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// send sends one and remembers that it was answered 204.
func (n *news) send(ctx context.Context, url string, i int) bool {
	n.mu.Lock()
	body, left := n.left[i]
	n.mu.Unlock()
	if !left {
		return false
	}
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, url+path, strings.NewReader(body))
	req.RequestURI = ""
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	if resp.StatusCode != http.StatusNoContent {
		return false
	}
	delete(n.left, i)
	order := i / len(steps)
	n.told[order] = max(n.told[order], i%len(steps)+1)
	return true
}

// check compares the store with what it has promised.
func (n *news) check(t *testing.T, s *store.Store, orders int) {
	t.Helper()
	for o := range orders {
		found, err := s.Order(t.Context(), issuer, fmt.Sprintf("ord-%d", o))
		must(t, err)
		if len(found) != 1 {
			t.Fatalf("order %d: %d rows", o, len(found))
		}
		got := 0
		for at, step := range steps {
			if found[0].Production.Status == step {
				got = at + 1
			}
		}
		if got < n.told[o] {
			t.Errorf("order %d: answered 204 for step %d, stored is %d", o, n.told[o], got)
		}
	}
}
