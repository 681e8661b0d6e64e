package app_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/d1/d1sim/simkeys"
	"cardbatch/internal/issuance"
	"cardbatch/internal/ops"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
)

const (
	newsOffered     = 10_000 // updates per second
	newsOrders      = 20_000 // that D1 reports on
	newsRows        = 200_000
	newsConnections = 128
	newsLimit       = 45 * time.Second // for one measurement
)

// BenchmarkNightOfNews is a daemon that takes a file of 200,000 rows in while D1
// reports at 10,000 status updates per second, over mutual TLS, every one durable
// before it is answered. p99 is that of the answers, from when the update was due
// to be sent, so that waiting for a connection counts; sent-p99 from when it was
// sent. The client shares the processors: cpu-µs/update is its work and the
// daemon's, and the file's, too, where there is one. "updates=10" has ten in a
// notification.
//
//	go test -run '^$' -bench NightOfNews -benchtime 1x ./internal/app
func BenchmarkNightOfNews(b *testing.B) {
	ops.TuneGC() // as the daemon does
	for _, updates := range []int{1, 10} {
		for _, file := range []bool{false, true} {
			b.Run(fmt.Sprintf("updates=%d/file=%v", updates, file), func(b *testing.B) {
				for range b.N {
					n := newNews(b, updates)
					n.serve(b)
					n.measure(b, file)
				}
			})
		}
	}
}

// news is a daemon and a client that reports to it.
type news struct {
	*world
	daemon  *app.App
	addr    string
	tls     *tls.Config
	updates int // of a notification
	next    atomic.Int64
	mu      sync.Mutex
	due     []time.Duration
	sent    []time.Duration
}

// newNews is a world with orders that D1 reports on; its daemon is not running.
func newNews(tb testing.TB, updates int) *news {
	tb.Helper()
	w := newWorld(tb)
	ca, err := simkeys.NewCA()
	must(tb, err)
	server, err := ca.Server("127.0.0.1")
	must(tb, err)
	client, err := ca.Client("D1 notifications")
	must(tb, err)
	w.write(tb, "ca.pem", pemOf("CERTIFICATE", ca.Cert.Raw))
	w.write(tb, "cert.pem", pemOf("CERTIFICATE", server.Certificate[0]))
	der, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	must(tb, err)
	w.write(tb, "cert.key", pemOf("PRIVATE KEY", der))
	text, err := os.ReadFile(filepath.Join(w.dir, "cardbatch.yaml"))
	must(tb, err)
	w.write(tb, "cardbatch.yaml", strings.Replace(string(text), `notifications: {listen: "127.0.0.1:0"}`, `notifications:
  listen: "127.0.0.1:0"
  cert_file: cert.pem
  key_file: cert.key
  client_ca_file: ca.pem`, 1))
	w.cfg, err = config.Load(filepath.Join(w.dir, "cardbatch.yaml"))
	must(tb, err)
	n := &news{world: w, updates: updates, tls: &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{client},
		ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}}
	n.submitted(tb)
	return n
}

func newDaemon(ctx context.Context, cfg *config.Config) (*app.App, error) {
	now := func() time.Time { return time.Now().UTC() }
	return app.New(ctx, app.Options{Config: cfg, Version: "test", Now: now, Migrate: true, Listen: true,
		Logger: ops.NewLogger(io.Discard, "warn", "json", now)})
}

// serve starts the daemon, which runs until the end.
func (n *news) serve(tb testing.TB) {
	tb.Helper()
	var err error
	n.daemon, err = newDaemon(tb.Context(), n.cfg)
	must(tb, err)
	n.addr = n.daemon.Addr().String()
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.daemon.Serve(ctx) }()
	tb.Cleanup(func() {
		cancel()
		must(tb, errors.Join(<-ended, n.daemon.Close()))
	})
}

// submitted makes the orders that D1 reports on.
func (n *news) submitted(tb testing.TB) {
	tb.Helper()
	ctx := tb.Context()
	_, err := app.Migrate(ctx, n.cfg)
	must(tb, err)
	s, err := app.OpenStore(ctx, n.cfg, false, time.Now)
	must(tb, err)
	session, err := s.StartSession(ctx, "before")
	must(tb, err)
	batch, err := s.ClaimFile(ctx, issuance.Batch{Source: "core", IssuerID: issuerID, FileName: "before.csv", BusinessDate: "2026-03-01"})
	must(tb, err)
	const chunk = 1000
	for from := 0; from < newsOrders; from += chunk {
		orders := make([]issuance.NewOrder, chunk)
		for i := range orders {
			row := int64(from + i + 1)
			orders[i] = issuance.NewOrder{Payload: []byte("sealed"), Order: issuance.Order{Ref: issuance.NewRef(batch.No, row), Line: row + 1,
				IssuerID: issuerID, OrderID: newsOrderID(row), CardID: newsCardID(row), ConsumerID: fmt.Sprintf("CONS-%010d", row), ProductID: "VISA_DEBIT_STD",
				Issuance: issuance.Creation, Priority: "STANDARD", MaskedPAN: "411111******1111", PANFingerprint: make([]byte, 16),
				ContentMAC: make([]byte, 16), State: issuance.Ready}}
		}
		must(tb, s.AddOrders(ctx, batch.No, orders))
	}
	batch.Rows = newsOrders
	must(tb, s.DecideBatch(ctx, batch, issuance.BatchAccepted, issuance.Why{Stage: "intake"}))
	must(tb, s.MarkArchived(ctx, batch.No, "archive/before.csv"))
	for {
		claims, err := s.ClaimReady(ctx, issuerID, session, chunk)
		must(tb, err)
		if len(claims) == 0 {
			break
		}
		outcomes := make([]issuance.Outcome, len(claims))
		for i, c := range claims {
			outcomes[i] = issuance.Outcome{Ref: c.Ref, Attempt: c.Attempt, To: issuance.Submitted, OperationID: newsOperation(c.Ref.Row())}
		}
		must(tb, s.RecordOutcomes(ctx, session, outcomes))
	}
	must(tb, s.Close())
}

func newsOrderID(row int64) string   { return fmt.Sprintf("ORD-20260301-%08d", row) }
func newsCardID(row int64) string    { return fmt.Sprintf("CARD-%010d", row) }
func newsOperation(row int64) string { return fmt.Sprintf("op-%032d", row) }

func (n *news) dropFile(tb testing.TB, rows int) {
	tb.Helper()
	const name = "cards.csv"
	f, err := os.Create(filepath.Join(n.dir, "drop/drop", name))
	must(tb, err)
	file, err := sample.Generate(f, sample.Options{Rows: rows, Seed: 1, Now: time.Now()})
	must(tb, err)
	must(tb, f.Close())
	ctl, err := orderfile.EncodeControl(file.Control(name, issuerID, 1, "2026-03-02", time.Now()))
	must(tb, err)
	n.write(tb, "drop/drop/"+name+".ctl", string(ctl))
}

// measure reports until the file is in, or for a time.
func (n *news) measure(b *testing.B, file bool) {
	b.Helper()
	limit, fileRows := 5*time.Second, newsRows
	if testing.Short() { // to see that it works
		limit, fileRows = time.Second, 2_000
	}
	if file {
		n.dropFile(b, fileRows)
		limit = newsLimit
	}
	ctx, stop := context.WithTimeout(b.Context(), limit)
	defer stop()
	conns := make([]net.Conn, newsConnections)
	for i := range conns {
		var err error
		conns[i], err = (&tls.Dialer{Config: n.tls}).DialContext(ctx, "tcp", n.addr)
		must(b, err)
	}
	var clients sync.WaitGroup
	before, began := processorTime(b), time.Now()
	b.ResetTimer()
	for _, conn := range conns {
		clients.Go(func() {
			if err := n.report(ctx, conn, began); err != nil {
				b.Error(err)
			}
		})
	}
	if file {
		run, err := n.daemon.RunJob(ctx, "pickup", "")
		took := time.Since(began)
		switch {
		case ctx.Err() != nil:
			rows := n.loaded(b)
			b.Logf("of the file, %d rows are in after %v", rows, limit)
			b.ReportMetric(float64(rows)/took.Seconds(), "orders/s")
		case err != nil || !strings.Contains(run.Summary, strconv.Itoa(fileRows)):
			b.Errorf("intake: %v, %s", err, run.Summary)
		default:
			b.ReportMetric(float64(fileRows)/took.Seconds(), "orders/s")
		}
		stop()
	}
	clients.Wait()
	b.StopTimer()
	elapsed, used := time.Since(began), processorTime(b)-before
	count := float64(len(n.due) * n.updates)
	for name, all := range map[string][]time.Duration{"p99-ms": n.due, "sent-p99-ms": n.sent} {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, name)
	}
	b.ReportMetric(count/elapsed.Seconds(), "updates/s")
	b.ReportMetric(float64(used.Microseconds())/count, "cpu-µs/update")
	b.ReportMetric(used.Seconds()/elapsed.Seconds(), "cores")
}

// loaded returns how many rows of the file are in.
func (n *news) loaded(b *testing.B) int64 {
	b.Helper()
	s, err := app.OpenStore(b.Context(), n.cfg, true, time.Now)
	must(b, err)
	totals, err := s.BatchTotals(b.Context(), 2)
	must(b, errors.Join(err, s.Close()))
	return totals.Rows
}

// report is one connection of D1's. It does the least that a client must do: the
// processors are the daemon's.
func (n *news) report(ctx context.Context, conn net.Conn, began time.Time) error {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReaderSize(conn, 1024)
	var body, request bytes.Buffer
	var due, sent []time.Duration
	for ctx.Err() == nil {
		i := n.next.Add(1) - 1
		at := began.Add(time.Duration(i) * time.Second * time.Duration(n.updates) / newsOffered)
		time.Sleep(time.Until(at)) //nolint:forbidigo // the pace of the load; a timer each would cost the daemon
		n.request(&request, &body, i)
		now := time.Now()
		if _, err := conn.Write(request.Bytes()); err != nil {
			return err
		}
		if err := readNoContent(in); err != nil {
			return err
		}
		due, sent = append(due, time.Since(at)), append(sent, time.Since(now))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.due, n.sent = append(n.due, due...), append(n.sent, sent...)
	return nil
}

func readNoContent(in *bufio.Reader) error {
	first, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(first, []byte("HTTP/1.1 204 ")) {
		return fmt.Errorf("answered %s", bytes.TrimSpace(first))
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil || len(line) == 2 {
			return err
		}
	}
}

// request writes the i-th notification as it goes over the line.
func (n *news) request(request, body *bytes.Buffer, i int64) {
	n.notification(body, i)
	request.Reset()
	fmt.Fprintf(request, "POST /notifications/d1/v2/issuers/%s/cards HTTP/1.1\r\nHost: us\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		issuerID, body.Len())
	request.Write(body.Bytes())
}

func newsStatuses() [6]string {
	return [...]string{"CARD_PROD_REQUESTED", "DATA_PREPARED", "CARD_PROD_READY", "CARD_PROD_ONGOING", "CARD_PROD_DONE", "CARD_SHIPPED"}
}

// newsOf returns the order that an update is about, and which update of it it is.
func newsOf(update int64) (row, round int64) {
	return (update*7919)%newsOrders + 1, update / newsOrders
}

// notification is the i-th, with news of orders that lie scattered.
func (n *news) notification(w *bytes.Buffer, i int64) {
	w.Reset()
	w.WriteString(`{"operations":[`)
	for k := range int64(n.updates) {
		if k > 0 {
			w.WriteByte(',')
		}
		u := i*int64(n.updates) + k
		row, round := newsOf(u)
		result := "PENDING"
		if round%6 == 5 {
			result = "SUCCESSFUL"
		}
		fmt.Fprintf(w, `{"operationId":"op-%032d","operation":"PRODUCE","status":"%s","startTime":"2026-03-01T08:00:00Z",`+
			`"endTime":"2026-03-01T%02d:%02d:00Z","cardId":"CARD-%010d","issuerRequestId":"ORD-20260301-%08d","details":{"status":"%s"}}`,
			row, result, 9+round/60, round%60, row, row, newsStatuses()[round%6])
	}
	w.WriteString(`]}`)
}

// processorTime is what this process has used of the processors: what a figure
// means on a machine that others use, too.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
