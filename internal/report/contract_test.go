package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/tableschema"
	"cardbatch/schemas"
)

var update = flag.Bool("update", false, "rewrite samples/reports")

const samples = "../../samples/reports"

// sampleNight is what samples/reports shows: a file with all sorts of rows, on
// the morning after, and a refused one.
func sampleNight(t *testing.T) *night {
	t.Helper()
	n := newNight(t)
	orders := []issuance.Order{
		ordered("ORD-0001", issuance.Submitted), ordered("ORD-0002", issuance.Submitted), ordered("ORD-0003", issuance.Submitted),
		ordered("", issuance.Rejected), ordered("ORD-0005", issuance.Refused), ordered("ORD-0001", issuance.Duplicate),
		ordered("-ORD-0007", issuance.Submitted), ordered("ORD-0008", issuance.Cancelled),
	}
	gold := &orders[4]
	gold.ProductID, gold.MaskedPAN, gold.Attempts = "MC_CREDIT_GOLD", "555555******4444", 1
	gold.Code, gold.Reason = "INVALID_FIELD", "services.packaging is not known"
	bad := &orders[3]
	bad.CardID, bad.MaskedPAN = "", "411111******1112"
	bad.Code, bad.Reason = issuance.RequiredMissing, "order_id must have a value"
	orders[5].Code, orders[5].Reason = issuance.OrderRepeated, "identical repeat of cards-20260301-0001.csv line 2"
	orders[7].Reason = "=asked for by phone, ticket 4711" // an operator's words
	no := n.take("cards-20260301-0001.csv", issuance.BatchAccepted, issuance.Why{}, orders...)
	n.store.batches[no-1].Control.Products = map[string]int64{"VISA_DEBIT_STD": 7, "MC_CREDIT_GOLD": 1}
	n.reject(no, 4, "order_id", issuance.RequiredMissing, "must have a value", "")
	n.reject(no, 4, "pan", issuance.PANInvalid, "the check digit is wrong", "411111******1112")
	n.reject(no, 4, "delivery_country_code", issuance.CountryNotAllowed, "cards of this product may be sent to BE, DE, FR", "-X")
	n.reject(no, 6, "order_id", issuance.OrderRepeated, orders[5].Reason, "ORD-0001")
	n.take("cards-20260301-0002.csv", issuance.BatchRefused,
		issuance.Why{Code: issuance.ChecksumMismatch, Reason: "the control file announces another SHA-256 than the file has"})
	changes := n.takeChanges("changes-20260301-0001.csv", someChanges()...)
	n.reject(changes, 9, "change", issuance.ValueNotAllowed, "must be CANCEL, ACCELERATE, REDIRECT or ACCELERATE_AND_REDIRECT", "STOP")
	n.reject(changes, 10, "order_id", issuance.ChangeRepeated, "identical repeat of changes-20260301-0001.csv line 2", "ORD-0008")
	n.run(receiptKind)
	n.pass(9 * time.Hour)
	n.hear(no, 1, issuance.CardShipped, issuance.Shipment{Carrier: "laposte", TrackingNumber: "LP000000001FR", Status: "InTransit"})
	n.hear(no, 2, issuance.CardProdOngoing, issuance.Shipment{})
	n.store.hear(issuance.NewRef(no, 3), issuance.Operation{Operation: issuance.OperationProduce, Status: issuance.OperationFailed,
		Production: issuance.DataException, Reason: "photo missing", EndTime: n.now.Add(-time.Hour)}, n.now)
	n.decide(no, issuance.BatchSettled)
	n.decide(changes, issuance.BatchSettled)
	n.run(receiptKind, reconciliationKind, statusKind)
	n.pass(4 * 24 * time.Hour) // to Friday morning
	n.store.hear(issuance.NewRef(no, 7), issuance.Operation{Operation: issuance.OperationProduce, Status: issuance.OperationPending,
		OperationID: "op-second", Production: issuance.CardProdReady, StartTime: n.now.Add(-time.Hour)}, n.now)
	n.store.parked = []issuance.Parked{{IssuerID: bank, IssuerRequestID: "ORD-9999", OperationID: "op-9999", CardID: "card-9999",
		Status: issuance.CardProdReady, ParkedAt: n.now.Add(-50 * time.Hour)}}
	n.store.words = []issuance.StrangeWord{{Kind: issuance.WordStatus, Word: "CARD_PROD_POLISHED", Times: 12,
		FirstAt: n.now.Add(-30 * time.Hour), LastAt: n.now.Add(-time.Hour)}}
	n.run(exceptionsKind)
	return n
}

// samples/reports is what the code writes; -update rewrites it.
func TestSamples(t *testing.T) {
	n := sampleNight(t)
	var names []string
	for _, name := range n.files("reports") {
		names = append(names, name)
		path := filepath.Join(samples, name)
		if *update {
			if err := os.WriteFile(path, []byte(n.read("reports/"+name)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), n.read("reports/"+name)); diff != "" {
			t.Errorf("%s (-sample +written):\n%s", name, diff)
		}
	}
	entries, err := os.ReadDir(samples)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "README.md" && !slices.Contains(names, e.Name()) {
			t.Errorf("%s is written by nothing", e.Name())
		}
	}
}

func TestWritingTwiceGivesTheSameBytes(t *testing.T) {
	if diff := cmp.Diff(sampleNight(t).contents(), sampleNight(t).contents()); diff != "" {
		t.Error(diff)
	}
}

// Every report keeps to its table schema, every control file to its JSON Schema.
func TestSamplesKeepToTheContracts(t *testing.T) {
	control := controlSchema(t)
	n := sampleNight(t)
	for _, name := range n.files("reports") {
		content := n.read("reports/" + name)
		if report, ok := strings.CutSuffix(name, ".ctl"); ok {
			checkControl(t, control, report, content)
			continue
		}
		checkTable(t, tableSchema(t, n.control("reports/"+name).Kind), name, content)
	}
}

func tableSchema(t *testing.T, kind string) *tableschema.Schema {
	t.Helper()
	content, err := schemas.FS.ReadFile("report-" + kind + ".v1.table.json")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := tableschema.Parse(content)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func checkTable(t *testing.T, schema *tableschema.Schema, name, content string) {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if problems := schema.CheckHeader(records[0]); len(problems) > 0 {
		t.Fatalf("%s: %v", name, problems)
	}
	for i, record := range records[1:] {
		for j, cell := range record {
			if v := schema.Fields[j].Check(cell); v != tableschema.None {
				t.Errorf("%s line %d: %s %q breaks %s", name, i+2, schema.Fields[j].Name, cell, v)
			}
		}
	}
}

func controlSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	content, err := schemas.FS.ReadFile("report-control.v1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("control.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("control.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func checkControl(t *testing.T, schema *jsonschema.Schema, name, content string) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s.ctl: %v", name, err)
	}
	var c Control
	if err := json.Unmarshal([]byte(content), &c); err != nil || c.File != name {
		t.Errorf("%s.ctl is about %q: %v", name, c.File, err)
	}
}

func TestColumnsAreThoseOfTheSchemas(t *testing.T) {
	for kind, columns := range map[string][]string{
		receiptKind: receiptColumns(), kindChanges: changeColumns(), reconciliationKind: reconciliationColumns(), statusKind: statusColumns(), exceptionsKind: exceptionsColumns(),
	} {
		if diff := cmp.Diff(tableSchema(t, kind).Names(), columns); diff != "" {
			t.Errorf("%s (-schema +code):\n%s", kind, diff)
		}
	}
}

func TestDispositionsAreThoseOfTheEquation(t *testing.T) {
	schema := tableSchema(t, reconciliationKind)
	want := schema.Fields[schema.Index("disposition")].Enum
	var got []string
	for _, term := range (&issuance.Totals{}).Terms() {
		if term.Name != "rows" && term.Name != "submitted" {
			got = append(got, term.Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-schema +equation):\n%s", diff)
	}
}

// Whatever a later version of an order carries, only these of its texts reach a
// report.
func TestOnlyKnownTextsReachAReport(t *testing.T) {
	n := newNight(t)
	var o issuance.Order
	var marked []string
	mark(reflect.ValueOf(&o).Elem(), "", &marked)
	o.State, o.PANFingerprint, o.ContentMAC = issuance.Submitted, []byte("fingerprint!"), []byte("contentmac!")
	o.Production.Status = "Mark-Production-Status"
	no := n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, o)
	n.store.orders[no][0].IssuerID = bank
	n.store.addEvent(issuance.Event{Ref: issuance.NewRef(no, 1), Batch: no, Kind: issuance.KindShipment})
	n.decide(no, issuance.BatchSettled)
	n.run()
	var all strings.Builder
	for name, content := range n.contents() {
		if !strings.Contains(name, "receipt") {
			all.WriteString(content)
		}
	}
	var reached []string
	for _, m := range marked {
		if strings.Contains(all.String(), m) {
			reached = append(reached, m)
		}
	}
	want := []string{
		"Mark-OrderID", "Mark-CardID", "Mark-ConsumerID", "Mark-ProductID", "Mark-Issuance", "Mark-MaskedPAN", "Mark-Code",
		"Mark-OperationID", "Mark-Production-Status", "Mark-Production-Reason", "Mark-Production-DueDate", "Mark-Production-Site",
		"Mark-Production-Shipment-Carrier", "Mark-Production-Shipment-TrackingNumber", "Mark-Production-Shipment-Status",
	}
	if diff := cmp.Diff(want, reached); diff != "" {
		t.Errorf("texts of an order in reports (-expected +found):\n%s", diff)
	}
	if strings.Contains(all.String(), "fingerprint!") || strings.Contains(all.String(), "contentmac!") {
		t.Error("a fingerprint reached a report")
	}
}

// mark gives every text of a struct a value that says where it is.
func mark(v reflect.Value, path string, marked *[]string) {
	for i := range v.NumField() {
		field, name := v.Field(i), path+"-"+v.Type().Field(i).Name
		switch {
		case field.Kind() == reflect.String:
			field.SetString("Mark" + name)
			*marked = append(*marked, "Mark"+name)
		case field.Kind() == reflect.Struct && field.Type() != reflect.TypeFor[time.Time]():
			mark(field, name, marked)
		}
	}
}

// Nobody should write a PAN into a text for people; if somebody does, it goes
// no further.
func TestClearPANsInTextsAreMasked(t *testing.T) {
	pan := cardholder.WithCheckDigit("555555000000001")
	n := newNight(t)
	order := ordered("ORD-1", issuance.Refused)
	order.Reason, order.MaskedPAN = "card "+pan+" is not known", pan
	no := n.take("cards-1.csv", issuance.BatchHeld, issuance.Why{Code: issuance.SequenceGap, Reason: "see " + pan}, order, ordered("ORD-2", issuance.Rejected))
	n.reject(no, 2, "pan", issuance.PANInvalid, "not "+pan, pan)
	n.run(receiptKind)
	n.decide(no, issuance.BatchAccepted)
	n.decide(no, issuance.BatchSettled)
	n.run()
	for name, content := range n.contents() {
		if strings.Contains(content, pan) {
			t.Errorf("%s has a clear PAN", name)
		}
	}
	if strings.Contains(n.log.String(), pan) {
		t.Error("the log has a clear PAN")
	}
}
