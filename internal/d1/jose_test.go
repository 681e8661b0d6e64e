package d1_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"cardbatch/internal/d1"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simkeys"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/validate"
)

// joseTool is Debian's jose, which has nothing in common with our code or with
// the library that the simulator uses.
type joseTool struct {
	t    *testing.T
	path string
	dir  string
}

// newJose skips the test without jose, unless CARDBATCH_REQUIRE contains jose.
func newJose(t *testing.T) *joseTool {
	t.Helper()
	path, err := exec.LookPath("jose")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("CARDBATCH_REQUIRE"), ","), "jose") {
			t.Fatalf("jose is required: %v", err)
		}
		t.Skip("no jose on this machine")
	}
	return &joseTool{t: t, path: path, dir: t.TempDir()}
}

// run returns what the tool writes, or fails the test.
func (j *joseTool) run(args ...string) string {
	j.t.Helper()
	out, err := j.try(args...)
	if err != nil {
		j.t.Fatalf("jose %s %s: %v: %s", args[0], args[1], err, out)
	}
	return out
}

func (j *joseTool) try(args ...string) (string, error) {
	var out, problem bytes.Buffer
	cmd := exec.CommandContext(j.t.Context(), j.path, args...)
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return problem.String(), err
	}
	return out.String(), nil
}

func (j *joseTool) file(name, content string) string {
	j.t.Helper()
	path := filepath.Join(j.dir, name)
	write(j.t, path, []byte(content))
	return path
}

func (j *joseTool) jwk(name string, key any, id, alg string) string {
	j.t.Helper()
	content, err := (&jose.JSONWebKey{Key: key, KeyID: id, Algorithm: alg}).MarshalJSON()
	if err != nil {
		j.t.Fatal(err)
	}
	return j.file(name, string(content))
}

// TestJoseOpensOurJWE: and nobody else's key does.
func TestJoseOpensOurJWE(t *testing.T) {
	t.Parallel()
	j, key := newJose(t), newKey(t)
	e, err := d1.NewEncoder(d1.EncoderConfig{
		JWEKeys:  []d1.JWEKey{{ID: "d1-a", Public: &key.PublicKey}},
		Products: map[string]issuance.Product{product().ID: product()},
	})
	if err != nil {
		t.Fatal(err)
	}
	body, err := e.Encode(fullInstruction())
	if err != nil {
		t.Fatal(err)
	}
	var order struct{ EncryptedData string }
	if err = json.Unmarshal(body, &order); err != nil {
		t.Fatal(err)
	}
	jwe := j.file("order.jwe", order.EncryptedData)
	var card map[string]string
	if err = json.Unmarshal([]byte(j.run("jwe", "dec", "-i", jwe, "-k", j.jwk("d1.jwk", key, "d1-a", "ECDH-ES"))), &card); err != nil {
		t.Fatal("jose opens something that is not JSON")
	}
	if card["pan"] != testPAN || card["exp"] != "3112" || card["name"] != "TEST HOLDER" || card["cvv2"] != "002" {
		t.Error("jose finds something else in it")
	}
	if _, err = j.try("jwe", "dec", "-i", jwe, "-k", j.jwk("other.jwk", newKey(t), "d1-a", "ECDH-ES")); err == nil {
		t.Error("another key opens it")
	}
	header, _, _ := strings.Cut(order.EncryptedData, ".")
	var said struct{ Alg, Enc, Kid string }
	if err = json.Unmarshal([]byte(j.run("b64", "dec", "-i", j.file("header", header))), &said); err != nil ||
		said.Alg != "ECDH-ES" || said.Enc != "A256GCM" || said.Kid != "d1-a" {
		t.Errorf("header %+v, %v", said, err)
	}
}

// TestJoseEncryptsForUs: a bank that encrypts with jose, during a change of
// D1's keys, gets its orders through our checks and D1 opens them.
func TestJoseEncryptsForUs(t *testing.T) {
	t.Parallel()
	j := newJose(t)
	keys, err := simkeys.New(testIssuer)
	if err != nil {
		t.Fatal(err)
	}
	issuer, second := keys.Issuer(), newKey(t)
	issuer.JWEKeys["d1-next"] = second
	sim, err := d1sim.New(d1sim.Config{Issuers: []d1sim.Issuer{issuer}, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { server.Close(); sim.Close() })
	client, err := d1.New(d1.Config{
		IssuerID: testIssuer, BaseURL: server.URL + "/banking/v1", TokenURL: server.URL + tokenPath,
		Token: d1.Token{KeyID: keys.JWTKeyID, Key: keys.JWTKey},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	both := []d1.JWEKey{{ID: keys.JWEKeyID, Public: &keys.JWEKey.PublicKey}, {ID: "d1-next", Public: &second.PublicKey}}
	e, err := d1.NewEncoder(d1.EncoderConfig{JWEKeys: both, Products: map[string]issuance.Product{product().ID: product()}})
	if err != nil {
		t.Fatal(err)
	}
	card := j.file("card.json", `{"pan":"`+testPAN+`","exp":"3112","name":"TEST HOLDER"}`)
	for i, key := range both {
		jwe := j.run("jwe", "enc", "-I", card, "-k", j.jwk(key.ID, key.Public, key.ID, "ECDH-ES"), "-c",
			"-i", `{"protected":{"alg":"ECDH-ES","enc":"A256GCM","kid":"`+key.ID+`"}}`)
		jwe = strings.TrimSpace(jwe)
		ids := []string{both[0].ID, both[1].ID}
		if fault := jweFault(jwe, ids); fault != "" {
			t.Errorf("kid %s: %s", key.ID, fault)
		}
		if jweFault(jwe, ids[1-i:2-i]) == "" {
			t.Errorf("kid %s is taken for the other", key.ID)
		}
		in := plainInstruction()
		in.Card, in.EncryptedData = nil, jwe
		in.OrderID, in.CardID = "ord-"+key.ID, "card-"+key.ID
		body, err := e.Encode(in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = client.Order(t.Context(), d1.Call{CardID: in.CardID, Body: body}); err != nil {
			t.Errorf("kid %s: D1 says %v", key.ID, err)
		}
	}
}

// jweFault returns what our validation says of a ready-made JWE.
func jweFault(jwe string, kids []string) string {
	v := validate.New(validate.Rules{JWEKids: kids, Now: time.Now()})
	_, faults := v.Check(orderfile.Record{Row: &orderfile.Row{EncryptedData: jwe}, RowNo: 1, Line: 2})
	for _, fault := range faults {
		if fault.Column == "encrypted_data" {
			return fault.Text
		}
	}
	return ""
}

// TestJoseVerifiesOurJWT checks the assertion as D1 gets it.
func TestJoseVerifiesOurJWT(t *testing.T) {
	t.Parallel()
	j, f := newJose(t), newFake(t, nil)
	if err := f.client(t).Authenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	form, err := url.ParseQuery(f.forms[0])
	if err != nil {
		t.Fatal(err)
	}
	jwt := j.file("jwt", form.Get("assertion"))
	var claims struct {
		Iss, Sub string
		Iat, Exp int64
	}
	said := j.run("jws", "ver", "-i", jwt, "-k", j.jwk("our.jwk", &f.key.PublicKey, "jwt-1", "ES256"), "-O-")
	if err = json.Unmarshal([]byte(said), &claims); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	if claims.Iss != testIssuer || claims.Sub != testIssuer || claims.Iat > now || claims.Exp < now || claims.Exp > now+900 {
		t.Errorf("claims %+v", claims)
	}
	if _, err = j.try("jws", "ver", "-i", jwt, "-k", j.jwk("other.jwk", &newKey(t).PublicKey, "jwt-1", "ES256")); err == nil {
		t.Error("another key verifies it")
	}
}

// TestJoseSignsForD1: what the simulator takes from us it takes from jose, so
// it holds us to the standard and not to our library.
func TestJoseSignsForD1(t *testing.T) {
	t.Parallel()
	j := newJose(t)
	keys, err := simkeys.New(testIssuer)
	if err != nil {
		t.Fatal(err)
	}
	sim, err := d1sim.New(d1sim.Config{Issuers: []d1sim.Issuer{keys.Issuer()}, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { server.Close(); sim.Close() })
	claims, err := json.Marshal(map[string]any{"iss": testIssuer, "sub": testIssuer,
		"iat": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(5 * time.Minute).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"protected":{"alg":"ES256","typ":"JWT","kid":"` + keys.JWTKeyID + `"}}`
	for name, c := range map[string]struct {
		key  any
		want int
	}{
		"ours":  {keys.JWTKey, http.StatusOK},
		"other": {newKey(t), http.StatusBadRequest},
	} {
		signed := j.run("jws", "sig", "-I", j.file(name+".json", string(claims)), "-c", "-s", header,
			"-k", j.jwk(name+".jwk", c.key, keys.JWTKeyID, "ES256"))
		resp, err := server.Client().PostForm(server.URL+tokenPath, url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {strings.TrimSpace(signed)}})
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d %s", name, resp.StatusCode, said)
		}
	}
}
