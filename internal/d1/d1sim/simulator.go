package d1sim

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Simulator is a D1 with its Shopfloor. It is safe for concurrent use.
type Simulator struct {
	cfg      Config
	issuers  map[string]*issuer
	byNumber []*issuer
	settings atomic.Pointer[Settings]
	card     cardCheck
	rules    []rule
	items    []rule // of a batch
	changes  []rule
	tokens   tokens
	dice     dice
	tries    tries
	events   eventLog
	served   atomic.Int64 // requests of any kind while GoawayEvery is on
	calendar calendar
	docs     sync.Pool
	bufs     sync.Pool
	panKey   [32]byte
	requests atomic.Int64

	mu         sync.Mutex // guards what follows
	ledger     *ledger
	clock      clock
	floor      heap[entry]
	totals     totals
	faults     map[fault]int
	registered map[string]bool
	changed    chan struct{} // closed at the next change; nil: nobody waits

	wakeFloor chan struct{}
	outbox    *outbox

	startOnce sync.Once
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// issuer is a configured issuer, prepared.
type issuer struct {
	Issuer
	number   uint16
	products map[string]*Product
	bucket   bucket
	batches  bucket
	reads    bucket
	jwe      atomic.Pointer[map[string]*ecdsa.PrivateKey]
}

// New builds a simulator. It answers requests at once; cards move and
// notifications leave after [Simulator.Start].
func New(c Config) (*Simulator, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	card, err := newCardCheck(&c)
	if err != nil {
		return nil, fmt.Errorf("d1sim: name pattern: %w", err)
	}
	s := &Simulator{
		cfg: c, card: card, rules: orderRules(false), items: orderRules(true), changes: changeRules(),
		issuers: map[string]*issuer{}, calendar: newCalendar(&c.Floor),
		dice: dice{seed: c.Seed}, registered: map[string]bool{},
		wakeFloor: make(chan struct{}, 1),
	}
	_, _ = rand.Read(s.panKey[:]) // never fails
	s.docs.New = func() any { return &document{nodes: make([]node, 0, 96)} }
	s.bufs.New = func() any { b := make([]byte, 0, 8<<10); return &b }
	s.tokens.init(&s.cfg)
	s.events.max = max(0, c.Events)
	for i, is := range c.Issuers {
		p := &issuer{Issuer: is, number: uint16(i), products: map[string]*Product{}}
		for k := range is.Products {
			p.products[is.Products[k].ID] = &is.Products[k]
		}
		keys := maps.Clone(is.JWEKeys)
		p.jwe.Store(&keys)
		s.issuers[is.ID] = p
		s.byNumber = append(s.byNumber, p)
	}
	s.settings.Store(&c.Settings)
	s.outbox = newOutbox(s)
	s.resetLocked()
	return s, nil
}

// resetLocked forgets every order; the clock starts again at its epoch.
func (s *Simulator) resetLocked() {
	s.ledger = newLedger(operationPrefix(s.dice.next()))
	s.clock = clock{base: s.cfg.Floor.Epoch, since: time.Now(), day: s.settings.Load().Day}
	s.floor = nil
	s.totals = totals{}
	s.faults = map[fault]int{}
	s.requests.Store(0)
	s.tries.clear()
	s.events.clear()
}

func operationPrefix(n uint64) string {
	return "op-" + strings.ToLower(base32.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, n))[:10]) + "-"
}

// Start sets the Shopfloor and the notifications in motion until ctx ends or
// Close. Only the first call counts.
func (s *Simulator) Start(ctx context.Context) {
	s.startOnce.Do(func() {
		ctx, s.stop = context.WithCancel(ctx)
		s.running.Go(func() { s.runFloor(ctx) })
		s.outbox.start(ctx, &s.running)
	})
}

// Close stops what Start started and waits for it.
func (s *Simulator) Close() {
	s.startOnce.Do(func() {})
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
	s.outbox.close()
}

// Handler is D1's API.
func (s *Simulator) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(s.cfg.TokenPath, s.serveToken)
	base := s.cfg.BankingPath + "/issuers/{issuerId}"
	mux.HandleFunc("POST "+base+s.cfg.BatchPath, s.serveBatch)
	// Thales' reference and Thales' how-to spell the paths differently.
	for _, cards := range []string{"/physicalCards/{cardId}/", "/physicalcards/{cardId}/"} {
		mux.HandleFunc("POST "+base+cards+"operations:production", s.serveOrder)
		mux.HandleFunc("POST "+base+strings.TrimSuffix(cards, "/")+s.cfg.ChangePath, s.serveChange)
		for _, status := range []string{"productionStatus", "productionstatus"} {
			mux.HandleFunc("GET "+base+cards+status, s.serveStatus)
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		(&apiError{status: http.StatusNotFound}).write(w)
	})
	return mux
}

// Settings returns the settings in force.
func (s *Simulator) Settings() Settings { return *s.settings.Load() }

// Adjust changes the settings. When the result is not valid nothing changes.
// It takes effect for the next request, step or notification; a changed Day
// bends the Shopfloor's clock from now on.
func (s *Simulator) Adjust(change func(*Settings)) error {
	return s.replace(func(old Settings) (Settings, error) {
		change(&old)
		return old.checked()
	})
}

func (s *Simulator) replace(change func(Settings) (Settings, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := change(*s.settings.Load())
	if err != nil {
		return err
	}
	s.settings.Store(&n)
	s.clock.setDay(n.Day)
	s.signalLocked()
	s.wakeUp()
	return nil
}

// RegisterCard tells D1 of a card, for RequireRegisteredCard.
func (s *Simulator) RegisterCard(issuerID, cardID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registered[issuerID+"/"+cardID] = true
}

// Reset forgets every order, card and notification. Settings and tokens stay.
func (s *Simulator) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resetLocked()
	s.outbox.clear()
	s.signalLocked()
	s.wakeUp()
}

// wakeUp lets the Shopfloor and the notifications look again.
func (s *Simulator) wakeUp() {
	select {
	case s.wakeFloor <- struct{}{}:
	default:
	}
	s.outbox.wakeUp()
}

// signalLocked tells those who Wait that something has changed.
func (s *Simulator) signalLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Wait returns when the summary satisfies cond, or with the error of ctx.
// cond is called again after every change, never concurrently.
func (s *Simulator) Wait(ctx context.Context, cond func(Summary) bool) error {
	for {
		s.mu.Lock()
		sum := s.summaryLocked()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if cond(sum) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("d1sim: wait (%d orders, %d not final, %d notifications pending): %w",
				sum.OrdersAccepted, sum.Open, sum.NotificationsPending, context.Cause(ctx))
		}
	}
}

// WaitIdle waits until every card has come to its end and every notification
// is delivered, lost or given up.
func (s *Simulator) WaitIdle(ctx context.Context) error {
	return s.Wait(ctx, func(sum Summary) bool { return sum.Open == 0 && sum.NotificationsPending == 0 })
}

// WaitFinal is WaitIdle once at least n orders have been accepted.
func (s *Simulator) WaitFinal(ctx context.Context, n int) error {
	return s.Wait(ctx, func(sum Summary) bool {
		return sum.OrdersAccepted >= n && sum.Open == 0 && sum.NotificationsPending == 0
	})
}

// Idle reports what WaitIdle waits for.
func (s *Simulator) Idle() bool {
	sum := s.Summary()
	return sum.Open == 0 && sum.NotificationsPending == 0
}
