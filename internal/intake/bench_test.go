package intake_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/ops"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
)

// BenchmarkIntake takes a file of the named size from the drop to its verdict,
// everything durable. The million takes a minute or two:
//
//	go test -run '^$' -bench 'Intake/rows=1000000' -benchtime 1x ./internal/intake
func BenchmarkIntake(b *testing.B) {
	ops.TuneGC() // as the daemon does
	for _, rows := range []int{10_000, 300_000, 1_000_000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			if rows > 10_000 && testing.Short() {
				b.Skip("-short")
			}
			for i := range b.N {
				benchIntake(b, i, rows)
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "orders/s")
			b.ReportMetric(peakMemory(b), "peak-MB")
		})
	}
}

func benchIntake(b *testing.B, n, rows int) {
	b.Helper()
	b.StopTimer()
	world := newBench(b)
	world.cfg.Workers = runtime.GOMAXPROCS(0)
	name := fmt.Sprintf("cards-%d.csv", n)
	f, err := os.Create(filepath.Join(world.dir, "drop", name))
	world.must(err)
	file, err := sample.Generate(f, sample.Options{Rows: rows, Seed: uint64(n), Now: night})
	world.must(err)
	world.must(f.Close())
	ctl, err := orderfile.EncodeControl(file.Control(name, issuerID, 1, "2026-03-01", night))
	world.must(err)
	world.write(name+".ctl", ctl)
	runtime.GC()
	b.StartTimer()
	sum, err := world.run()
	b.StopTimer()
	world.must(err)
	world.close() // its cache would count as memory of the next one
	if sum.Ready != int64(rows) {
		b.Fatalf("summary %+v", sum)
	}
	b.StartTimer()
}

// BenchmarkBareJWE is what the cores allow if nothing but the encryption is
// done: intake's budget is 60 % of it.
func BenchmarkBareJWE(b *testing.B) {
	world := newBench(b)
	encoder := world.source().Encoder
	in := cardholder.Instruction{
		OrderID: rand.Text(), CardID: "card", ConsumerID: "consumer", ProductID: sample.ProductVisa, Issuance: "CREATION",
		Delivery: "usps-imb", ShipmentType: "INDIVIDUAL",
		Card: &cardholder.Card{
			PAN: cardholder.NewPAN("4111111111111111"), Expiry: cardholder.NewText("3001"), Name: cardholder.NewText("A TEST"),
		},
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := encoder.Encode(in); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
}

// peakMemory is the most memory the process has used, in MB, as the kernel saw it.
func peakMemory(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	return 0
}
