package store

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"cardbatch/internal/issuance"
)

// A store of the first version keeps what was under way: a file that was being
// loaded, and what had been observed.
func TestUpgradeFromTheFirstVersion(t *testing.T) {
	ctx := t.Context()
	cfg := Config{Path: filepath.Join(t.TempDir(), "x.db"), Now: func() time.Time { return time.UnixMicro(5000).UTC() }}
	db, err := openPool(writerDSN(cfg.Path, 0), 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(ctx, 1); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO batch (no, id, source, issuer_id, file_name, session, state, received_at)
			VALUES (1, 'b1', 'core', 'bank', 'f.csv', 'dead', 'loading', 1000)`,
		`INSERT INTO observation (source, name, size, mod_time, seen) VALUES ('core', 'g.csv', 7, 2000, 4)`,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := Migrate(ctx, cfg); err != nil || n == 0 {
		t.Fatalf("migrated %d steps, %v", n, err)
	}
	s, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a test
	loading, err := s.LoadingBatches(ctx, "core")
	if err != nil || len(loading) != 1 || loading[0].Attempts != 1 || loading[0].SetAside || !loading[0].TroubledAt.IsZero() {
		t.Errorf("loading: %+v, %v", loading, err)
	}
	seen, err := s.Observe(ctx, "core", []issuance.Observation{{Name: "g.csv", Size: 7, ModTime: fromMicros(2000)}})
	now := fromMicros(5000)
	if want := (issuance.Sighting{Times: 5, Since: now, FirstSeen: now}); err != nil || seen["g.csv"] != want {
		t.Errorf("seen %+v, %v", seen["g.csv"], err)
	}
	if _, err := s.StartSession(ctx, "n"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ClaimFile(ctx, issuance.Batch{Source: "core", IssuerID: "bank", FileName: "g.csv"}); err == nil {
		t.Error("another file was claimed beside the one that was being loaded")
	}
}

// An order written before we knew whether a card is shipped goes on as it did,
// and news that was parked is found by its card as well.
func TestUpgradeKeepsOrdersAndNews(t *testing.T) {
	ctx := t.Context()
	cfg := Config{Path: filepath.Join(t.TempDir(), "x.db"), Now: func() time.Time { return time.UnixMicro(5000).UTC() }}
	db, err := openPool(writerDSN(cfg.Path, 0), 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := provider(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(ctx, 2); err != nil {
		t.Fatal(err)
	}
	ref := int64(issuance.NewRef(1, 1))
	for _, statement := range []string{
		`INSERT INTO batch (no, id, source, issuer_id, file_name, session, state, received_at, row_count, loaded)
			VALUES (1, 'b1', 'core', 'bank', 'f.csv', 'dead', 'settled', 1000, 1, 1)`,
		`INSERT INTO orders (ref, batch_no, line, live, urgency, state, watched_at, issuer_id, order_id, card_id, consumer_id, product_id,
			issuance, priority, masked_pan, operation_id, status, shipment, shipment_at) VALUES (` + fmt.Sprint(ref) + `, 1, 2, 1, 1, 'submitted', 1000, 'bank', 'o1', 'c1',
			'', 'p', '', '', '', 'op-1', 'CARD_PROD_READY', '{"carrier":"ups","trackingNumber":"T1"}', 3000)`,
		`INSERT INTO parked_operation (digest, issuer_id, issuer_request_id, operation, parked_at) VALUES
			(x'00', 'bank', '', '{"OperationID":"op-1","Operation":"PRODUCE","CardID":"c1","Production":"CARD_PROD_DONE"}', 2000)`,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Migrate(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	s, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a test
	if n, err := s.ApplyParked(ctx, "bank"); n != 1 || err != nil {
		t.Errorf("applied %d, %v", n, err)
	}
	o, err := s.OrderByRef(ctx, issuance.Ref(ref))
	if err != nil || o.Production.Status != issuance.CardProdDone || o.Disposition() != "in_production" || o.Final() ||
		!o.Production.ParcelAt.Equal(fromMicros(3000)) || o.Production.Shipment.TrackingNumber != "T1" {
		t.Errorf("the order is %+v, %v", o, err)
	}
}
