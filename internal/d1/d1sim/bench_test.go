package d1sim_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cardbatch/internal/d1/d1sim"
)

// discard is a response writer that costs nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

func quiet(skip bool) func(*d1sim.Config) {
	return func(c *d1sim.Config) { c.Settings.SkipDecryption = skip; c.Settings.Day = 2 * time.Second }
}

// parts are a good order before and after its number.
func (r *rig) parts() (head, tail string) {
	head, tail, _ = strings.Cut(orderBody("ord-#", r.encrypt(clearCard)), "#")
	return head, tail
}

// BenchmarkOrderHandler is the simulator's own share: no client, no network.
func BenchmarkOrderHandler(b *testing.B) {
	for name, skip := range map[string]bool{"decrypt": false, "skip": true} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, quiet(skip))
			h := r.sim.Handler()
			auth := "Bearer " + r.login()
			head, tail := r.parts()
			var n atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					id := strconv.FormatInt(n.Add(1), 10)
					req := httptest.NewRequest(http.MethodPost, orderPath("card-"+id), strings.NewReader(head+id+tail))
					req.Header.Set("Authorization", auth)
					req.Header.Set("Content-Type", "application/json")
					h.ServeHTTP(&discard{http.Header{}}, req)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
			if got := r.sim.Summary().OrdersAccepted; got != b.N {
				b.Fatalf("%d accepted of %d", got, b.N)
			}
		})
	}
}

// BenchmarkOrderOverNetwork has the client on the same cores.
func BenchmarkOrderOverNetwork(b *testing.B) {
	for _, proto := range []string{"http1", "h2"} {
		for name, skip := range map[string]bool{"decrypt": false, "skip": true} {
			b.Run(proto+"/"+name, func(b *testing.B) {
				r := newRig(b, quiet(skip))
				if proto == "h2" {
					r.overHTTP2()
				} else {
					r.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
				}
				auth := "Bearer " + r.login()
				head, tail := r.parts()
				var n atomic.Int64
				b.SetParallelism(16)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						id := strconv.FormatInt(n.Add(1), 10)
						req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, r.url+orderPath("card-"+id),
							strings.NewReader(head+id+tail))
						req.Header.Set("Authorization", auth)
						req.Header.Set("Content-Type", "application/json")
						resp, err := r.http.Do(req)
						if err != nil {
							b.Error(err)
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
			})
		}
	}
}

// BenchmarkMemory shows what one order costs to remember.
func BenchmarkMemory(b *testing.B) {
	r := newRig(b, func(c *d1sim.Config) { quiet(true)(c); c.Settings.Day = time.Hour })
	h, auth := r.sim.Handler(), "Bearer "+r.login()
	head, tail := r.parts()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range b.N {
		id := strconv.Itoa(1_000_000_000 + i)
		req := httptest.NewRequest(http.MethodPost, orderPath("card-"+id), strings.NewReader(head+id+tail))
		req.Header.Set("Authorization", auth)
		req.Header.Set("Content-Type", "application/json")
		h.ServeHTTP(&discard{http.Header{}}, req)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "B/order")
	runtime.KeepAlive(r)
}

// BenchmarkNotifications is one operation: rendered, sent and acknowledged.
func BenchmarkNotifications(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run("batch="+strconv.Itoa(size), func(b *testing.B) {
			sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusNoContent)
			}))
			defer sink.Close()
			r := newRig(b, func(c *d1sim.Config) {
				quiet(true)(c)
				c.Settings.Day = time.Millisecond
				c.Settings.PauseNotifications = true
				c.Notifications.URL, c.Notifications.BatchSize = sink.URL, size
			})
			h, auth := r.sim.Handler(), "Bearer "+r.login()
			head, tail := r.parts()
			for i := range (b.N + 7) / 8 { // an order has eight of them
				id := strconv.Itoa(i)
				req := httptest.NewRequest(http.MethodPost, orderPath("card-"+id), strings.NewReader(head+id+tail))
				req.Header.Set("Authorization", auth)
				req.Header.Set("Content-Type", "application/json")
				h.ServeHTTP(&discard{http.Header{}}, req)
			}
			if err := r.sim.Wait(context.Background(), func(s d1sim.Summary) bool { return s.Open == 0 }); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			if err := r.sim.Adjust(func(s *d1sim.Settings) { s.PauseNotifications = false }); err != nil {
				b.Fatal(err)
			}
			if err := r.sim.WaitIdle(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
		})
	}
}
