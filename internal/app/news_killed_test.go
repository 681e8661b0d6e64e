package app_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
)

// newsDaemon tells a child process of the tests the configuration to serve.
const newsDaemon = "CARDBATCH_TEST_NEWS_DAEMON"

// serveUntilKilled is a daemon that takes a file in, too.
func serveUntilKilled(file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	a, err := newDaemon(context.Background(), cfg)
	if err != nil {
		return err
	}
	go a.RunJob(context.Background(), "pickup", "") //nolint:errcheck // it is killed
	if _, err := fmt.Fprintln(os.Stdout, a.Addr()); err != nil {
		return err
	}
	return a.Serve(context.Background())
}

// The daemon is killed while D1 reports and a file comes in: what was answered
// 204 is applied, and the file comes in whole with the next one.
func TestKilledWhileNewsComes(t *testing.T) {
	const rows, enough = 20_000, 2_000
	n := newNews(t, 1)
	n.dropFile(t, rows)
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env, child.Stderr = append(os.Environ(), newsDaemon+"="+n.dir+"/cardbatch.yaml"), os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	n.addr = strings.TrimSpace(line)

	var answered atomic.Int64
	var mu sync.Mutex
	rounds := map[int64]int64{} // the last update that was answered, by order
	var clients sync.WaitGroup
	for range 32 {
		conn, err := (&tls.Dialer{Config: n.tls}).DialContext(t.Context(), "tcp", n.addr)
		must(t, err)
		clients.Go(func() {
			defer func() { _ = conn.Close() }()
			in := bufio.NewReader(conn)
			var body, request bytes.Buffer
			for {
				i := n.next.Add(1) - 1
				n.request(&request, &body, i)
				if _, err := conn.Write(request.Bytes()); err != nil {
					return
				}
				if err := readNoContent(in); err != nil {
					return
				}
				row, round := newsOf(i)
				mu.Lock()
				rounds[row] = max(rounds[row], round)
				mu.Unlock()
				if answered.Add(1) == enough {
					must(t, child.Process.Kill())
				}
			}
		})
	}
	clients.Wait()
	child.Wait() //nolint:errcheck // it was killed
	if len(rounds) < enough {
		t.Fatalf("the daemon ended after %d answers", len(rounds))
	}

	n.serve(t)
	s, err := app.OpenStore(t.Context(), n.cfg, true, nil)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	if totals, err := s.BatchTotals(t.Context(), 2); err != nil || totals.Rows == rows {
		t.Logf("the file was in before: %d rows, %v", totals.Rows, err)
	}
	statuses, lost := newsStatuses(), 0
	for o, err := range s.OrdersOfBatch(t.Context(), 1) {
		must(t, err)
		round, told := rounds[o.Ref.Row()]
		if told && int64(slices.Index(statuses[:], string(o.Production.Status))) < round {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("of %d orders with news that was answered, %d do not have it", len(rounds), lost)
	}
	run, err := n.daemon.RunJob(t.Context(), "pickup", "")
	if totals, err := s.BatchTotals(t.Context(), 2); err != nil || totals.Rows != rows {
		t.Errorf("the file: %d rows, %v; %s", totals.Rows, err, run.Summary)
	}
	must(t, err)
	must(t, s.Balance(t.Context()))
}
