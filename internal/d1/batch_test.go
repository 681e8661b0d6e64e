package d1_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/d1"
	"cardbatch/internal/retry"
)

// batchOf returns orders ord-1, ord-2 ... for card-1, card-2 ...
func batchOf(n int) []d1.BatchOrder {
	orders := make([]d1.BatchOrder, n)
	for i := range orders {
		id := fmt.Sprintf("ord-%d", i+1)
		orders[i] = d1.BatchOrder{OrderID: id, CardID: fmt.Sprintf("card-%d", i+1), Body: []byte(`{"issuerRequestId":"` + id + `"}`)}
	}
	return orders
}

func batches(t *testing.T, c *d1.Client, cfg d1.BatchConfig) *d1.Batches {
	t.Helper()
	b, err := d1.NewBatches(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fates says in a word what a reply says of each order.
func fates(reply d1.BatchReply) []string {
	words := make([]string, len(reply.Results))
	for i, r := range reply.Results {
		words[i] = "accepted " + r.OperationID
		if e := retry.Of(r.Err); e != nil {
			words[i] = e.Class.String() + " " + e.Code
		}
		words[i] = strings.TrimSpace(words[i])
	}
	return words
}

func TestBatchRequest(t *testing.T) {
	t.Parallel()
	var path, correlation string
	var body []byte
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		path, correlation = r.URL.Path, r.Header.Get("X-Correlation-Id")
		body, _ = io.ReadAll(r.Body)
		says(202, `{}`)(w, r)
	})
	b := batches(t, f.client(t), d1.BatchConfig{Path: "/cards:order", Answer: d1.BatchAsAWhole})
	orders := batchOf(4)
	orders[1].Body = []byte(" {\n} ")
	orders[2].Body = []byte(`[1]`)
	orders[3].CardID = `x","y":"`
	reply, err := b.Order(t.Context(), "corr-9", orders)
	if err != nil {
		t.Fatal(err)
	}
	if path != "/banking/v1/issuers/"+testIssuer+"/cards:order" || correlation != "corr-9" {
		t.Errorf("sent to %s as %q", path, correlation)
	}
	if want := `{"cards":[{"cardId":"card-1","issuerRequestId":"ord-1"},{"cardId":"card-2"}]}`; string(body) != want {
		t.Errorf("sent %s, want %s", body, want)
	}
	// What would make the request unreadable is refused without being sent.
	want := []string{"accepted", "accepted", "refused ORDER_BODY_INVALID", "refused CARD_ID_INVALID"}
	if diff := cmp.Diff(want, fates(reply)); diff != "" {
		t.Error(diff)
	}
}

func TestBatchBodyIsNoLongerThanStated(t *testing.T) {
	t.Parallel()
	var got int64
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	b := batches(t, f.client(t), d1.BatchConfig{Answer: d1.BatchAsAWhole})
	orders := batchOf(d1.MaxBatch)
	most := int64(len(`{"cards":[]}`))
	for _, o := range orders {
		most += int64(len(o.Body) + len(o.CardID) + d1.BatchOverhead)
	}
	if _, err := b.Order(t.Context(), "", orders); err != nil {
		t.Fatal(err)
	}
	if got > most || got < most-most/10 {
		t.Errorf("%d bytes were sent, stated are at most %d", got, most)
	}
}

// TestBatchAnswers states what is read from answers of every kind to a batch of
// two. A whole that failed is told as its class and code.
func TestBatchAnswers(t *testing.T) {
	t.Parallel()
	const list, all, whole = d1.BatchPerCard, d1.BatchAllOrNothing, d1.BatchAsAWhole
	const unproven = "unknown NOT_IN_ANSWER"
	both := []string{"accepted a", "accepted b"}
	accepted := []string{"accepted", "accepted"}
	unclear := []string{"unknown ANSWER_UNCLEAR"}
	ops := func(items string) string { return `{"operations":[` + items + `]}` }
	const a, b = `{"cardId":"card-1","operationId":"a"}`, `{"cardId":"card-2","operationId":"b"}`
	for name, tt := range map[string]struct {
		model  d1.BatchAnswer
		status int
		body   string
		want   []string
	}{
		"card by card":           {list, 202, ops(a + "," + b), both},
		"another order":          {list, 202, ops(b + "," + a), both},
		"another name, more":     {list, 200, `{"x":[1],"cards":[` + `{"y":{},"cardId":"card-1","operationId":"a"}` + "," + b + `]}`, both},
		"by request id":          {list, 202, ops(`{"issuerRequestId":"ord-2","operationId":"b"},{"issuerRequestId":"ord-1","operationId":"a"}`), both},
		"refused":                {list, 202, ops(a + `,{"cardId":"card-2","errorCode":"FIELD_INVALID_VALUE","error":"x"}`), []string{"accepted a", "refused FIELD_INVALID_VALUE"}},
		"missing":                {list, 202, ops(a), []string{"accepted a", unproven}},
		"twice the same":         {list, 202, ops(a + "," + b + "," + b), both},
		"twice, not the same":    {list, 202, ops(a + "," + b + `,{"cardId":"card-2","operationId":"c"}`), []string{"accepted a", unproven}},
		"yes and no":             {list, 202, ops(a + "," + b + `,{"cardId":"card-2","errorCode":"E"}`), []string{"accepted a", unproven}},
		"three times":            {list, 202, ops(b + "," + a + `,{"cardId":"card-2","errorCode":"E"},` + b), []string{"accepted a", unproven}},
		"yes and no at once":     {list, 202, ops(a + `,{"cardId":"card-2","operationId":"b","errorCode":"E"}`), []string{"accepted a", unproven}},
		"neither yes nor no":     {list, 202, ops(a + `,{"cardId":"card-2"}`), []string{"accepted a", unproven}},
		"failed operation":       {list, 202, ops(a + `,{"cardId":"card-2","operationId":"b","status":"FAILED"}`), []string{"accepted a", unproven}},
		"pending operation":      {list, 202, ops(a + `,{"cardId":"card-2","operationId":"b","status":"PENDING"}`), both},
		"status of its own":      {list, 207, ops(`{"cardId":"card-1","operationId":"a","status":202},{"cardId":"card-2","status":400,"errorCode":"E"}`), []string{"accepted a", "refused E"}},
		"trouble of its own":     {list, 207, ops(a + `,{"cardId":"card-2","status":503,"errorCode":"E"}`), []string{"accepted a", "unknown E"}},
		"trouble by its name":    {list, 202, ops(a + `,{"cardId":"card-2","errorCode":"INTERNAL_ERROR"}`), []string{"accepted a", "unknown INTERNAL_ERROR"}},
		"duplicate":              {list, 202, ops(a + `,{"cardId":"card-2","errorCode":"DUPLICATE_REQUEST"}`), []string{"accepted a", "unknown DUPLICATE_REQUEST"}},
		"code is no code":        {list, 202, ops(a + `,{"cardId":"card-2","errorCode":"4111 1111 1111 1111"}`), []string{"accepted a", unproven}},
		"names do not fit":       {list, 202, ops(`{"cardId":"card-1","issuerRequestId":"ord-2","operationId":"a"}`), []string{unproven, unproven}},
		"names a stranger too":   {list, 202, ops(a + "," + b + `,{"cardId":"card-9","issuerRequestId":"ord-2","operationId":"z"}`), []string{"accepted a", unproven}},
		"odd items":              {list, 202, ops(`1,null,"card-1",[],` + b), []string{unproven, "accepted b"}},
		"no list":                {list, 202, `{"operations":{"cardId":"card-1"}}`, unclear},
		"nothing per card":       {list, 202, `{"operationId":"w"}`, unclear},
		"truncated":              {list, 202, ops(a + "," + b)[:60], unclear},
		"empty":                  {list, 202, ``, unclear},
		"not JSON":               {list, 202, `<html>`, unclear},
		"refused as a whole":     {list, 400, `{"errorCode":"FIELD_INVALID_FORMAT","error":"cards"}`, []string{"refused FIELD_INVALID_FORMAT"}},
		"refused, with a list":   {list, 400, ops(a), []string{"accepted a", unproven}},
		"refused, list cut off":  {list, 400, ops(a + "," + b)[:60], unclear},
		"too large, with a page": {list, 413, `<html>too large</html>`, []string{"refused HTTP_413"}},
		"too large":              {list, 413, ``, []string{"refused HTTP_413"}},
		"too many":               {list, 429, ``, []string{"not done HTTP_429"}},
		"no such path":           {list, 404, ``, []string{"stop HTTP_404"}},
		"no such method":         {list, 405, `{}`, []string{"stop HTTP_405"}},
		"no such card":           {list, 404, `{"errorCode":"CARD_NOT_FOUND"}`, []string{"refused CARD_NOT_FOUND"}},
		"server error":           {list, 500, ops(a + "," + b), []string{"unknown HTTP_500"}},
		"conflict":               {list, 409, `{}`, []string{"unknown HTTP_409"}},
		"duplicate in it":        {list, 403, `{"errorCode":"DUPLICATE_REQUEST"}`, []string{"unknown DUPLICATE_REQUEST"}},
		"all":                    {all, 202, `{}`, accepted},
		"all, by one id":         {all, 200, `{"operationId":"w"}`, accepted},
		"all, card by card":      {all, 202, ops(b + "," + a), both},
		"all, but one":           {all, 202, ops(a), []string{"accepted a", unproven}},
		"all, an empty list":     {all, 202, ops(""), unclear},
		"all, with an error":     {all, 202, `{"errorCode":"E"}`, unclear},
		"all, without proof":     {all, 200, `{}`, unclear},
		"all, no body":           {all, 202, ``, unclear},
		"none":                   {all, 400, `{"errorCode":"FIELD_INVALID_VALUE","error":"x"}`, []string{"refused FIELD_INVALID_VALUE"}},
		"none, and whose fault":  {all, 400, ops(`{"cardId":"card-2","errorCode":"E"}`), []string{"refused HTTP_400"}},
		"none, but one":          {all, 400, ops(a), []string{"accepted a", unproven}},
		"none, for a duplicate":  {all, 409, `{"errorCode":"DUPLICATE_REQUEST"}`, []string{"refused DUPLICATE_REQUEST"}},
		"none, for a conflict":   {all, 409, ``, []string{"refused HTTP_409"}},
		"whole":                  {whole, 202, `{"operationId":"w"}`, accepted},
		"whole, no body":         {whole, 202, " \n", accepted},
		"whole, not said by D1":  {whole, 200, ``, unclear},
		"whole, truncated":       {whole, 202, `{"operationI`, unclear},
		"whole, but card-wise":   {whole, 202, ops(a), []string{"accepted a", unproven}},
		"whole, a refusal":       {whole, 400, `{"errorCode":"FIELD_INVALID_VALUE"}`, []string{"refused FIELD_INVALID_VALUE"}},
		"whole, a duplicate":     {whole, 409, `{"errorCode":"DUPLICATE_REQUEST"}`, []string{"unknown DUPLICATE_REQUEST"}},
		"whole, no proof of all": {whole, 204, ``, unclear},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, says(tt.status, tt.body))
			reply, err := batches(t, f.client(t), d1.BatchConfig{Answer: tt.model}).Order(t.Context(), "c", batchOf(2))
			got := fates(reply)
			if err != nil {
				e := retry.Of(err)
				got = []string{e.Class.String() + " " + e.Code}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStrangersInABatchAnswer(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(202, `{"operations":[{"cardId":"card-1","operationId":"a"},{"cardId":"card-7","operationId":"z"},{"operationId":"y"}]}`))
	reply, err := batches(t, f.client(t), d1.BatchConfig{}).Order(t.Context(), "", batchOf(1))
	if err != nil || reply.Strangers != 2 || reply.Results[0].Err != nil {
		t.Errorf("%d strangers, %v, %v", reply.Strangers, fates(reply), err)
	}
}

// Two orders of one card: an answer that names the card alone proves nothing.
func TestTwoOrdersOfACardInABatch(t *testing.T) {
	t.Parallel()
	orders := batchOf(2)
	orders[1].CardID = orders[0].CardID
	f := newFake(t, says(202, `{"operations":[{"cardId":"card-1","operationId":"a"},{"cardId":"card-1","operationId":"b"}]}`))
	reply, err := batches(t, f.client(t), d1.BatchConfig{}).Order(t.Context(), "", orders)
	if diff := cmp.Diff([]string{"unknown NOT_IN_ANSWER", "unknown NOT_IN_ANSWER"}, fates(reply)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestBatchSizes(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(202, `{}`))
	b := batches(t, f.client(t), d1.BatchConfig{})
	for _, n := range []int{0, d1.MaxBatch + 1} {
		if _, err := b.Order(t.Context(), "", batchOf(n)); retry.Of(err).Class != retry.NotDone {
			t.Errorf("%d orders: %v", n, err)
		}
	}
	if n := f.orders.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestBatchConfigIsChecked(t *testing.T) {
	t.Parallel()
	c := newFake(t, says(202, `{}`)).client(t)
	for _, cfg := range []d1.BatchConfig{{Path: "cards"}, {Path: "//other/cards"}, {Path: "/cards?x=1"}, {Path: "/%zz"}, {Answer: "perhaps"}} {
		if _, err := d1.NewBatches(c, cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// A batch is written once at most, whatever happens to its connection.
func TestABatchIsSentOnce(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	b := batches(t, f.client(t), d1.BatchConfig{})
	_, err := b.Order(t.Context(), "", batchOf(100))
	if e := retry.Of(err); e == nil || e.Class != retry.Unknown {
		t.Errorf("got %v", err)
	}
	if n := f.orders.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
	f.server.Close()
	if _, err = b.Order(t.Context(), "", batchOf(100)); retry.Of(err).Class != retry.NotDone {
		t.Errorf("nobody there: %v", err)
	}
}

// FuzzBatchAnswer: whatever D1 answers, each order has one result, and nothing
// counts as accepted or refused in a list that does not name it.
func FuzzBatchAnswer(f *testing.F) {
	f.Add(202, `{"operations":[{"cardId":"card-1","operationId":"a"},{"cardId":"card-2","errorCode":"E"}]}`, uint8(0))
	f.Add(400, `{"operations":[{"issuerRequestId":"ord-1","operationId":"a"}]}`, uint8(1))
	f.Add(202, `{"operationId":"w","cards":[null,1,{}]}`, uint8(2))
	models := []d1.BatchAnswer{d1.BatchPerCard, d1.BatchAllOrNothing, d1.BatchAsAWhole}
	f.Fuzz(func(t *testing.T, status int, body string, model uint8) {
		answer := models[int(model)%len(models)]
		reply, err := d1.ReadBatchAnswer(answer, status, []byte(body), batchOf(3))
		if err != nil {
			if e := new(retry.Error); !errors.As(err, &e) || e.Code == "" {
				t.Fatalf("an error without a class or code: %v", err)
			}
			return
		}
		if len(reply.Results) != 3 {
			t.Fatalf("%d results", len(reply.Results))
		}
		for i, r := range reply.Results {
			if r.Err != nil && retry.Of(r.Err).Class != retry.Refused || answer != d1.BatchPerCard {
				continue
			}
			if !json.Valid([]byte(body)) {
				t.Errorf("order %d is decided by what is not JSON", i)
			}
		}
	})
}
