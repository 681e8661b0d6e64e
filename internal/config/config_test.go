package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/config"
	"cardbatch/internal/issuance"
	"cardbatch/internal/strictyaml"
	"cardbatch/samples"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const sample = "../../samples/config/cardbatch.yaml"

// Every file in testdata is one mistake, named after it, with the error it gives.
func TestMistakes(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "")
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			_, err := config.Load(file)
			var problems strictyaml.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("want problems, got %v", err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (rewrite with -update):\n%s", golden, diff)
			}
		})
	}
}

func TestSampleIsValid(t *testing.T) {
	c, err := config.Load(sample)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Sources[0].MaxRejects.Of(200); got != 10 {
		t.Errorf("5%% of 200 is %d", got)
	}
	if got := c.Issuers[0].D1.Token.Subject; got != "DEMO_BANK1" {
		t.Errorf("subject %q", got)
	}
	if got := c.Issuers[0].JWEKeyIDs(); len(got) != 1 || got[0] != "d1-test-key-1" {
		t.Errorf("kids %q", got)
	}
	embedded, err := config.LoadFS(samples.Config, samples.ConfigPath)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Products, embedded.Products); diff != "" {
		t.Error(diff)
	}
}

// The sample is the manual: it must show every key there is.
func TestSampleIsComplete(t *testing.T) {
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		name := key[strings.LastIndex(key, ".")+1:]
		if !regexp.MustCompile(`(?m)^[ #-]*(\{|.*[{,] *)?` + name + `:`).Match(text) {
			t.Errorf("%s is not in %s", key, sample)
		}
	}
}

// Uncommenting every commented default must give a valid file with the same meaning.
func TestSampleShowsTheDefaults(t *testing.T) {
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	notDefaults := regexp.MustCompile(`jobs_dir|passphrase_file|password_file|known_hosts_file|ca_file|cv_key_index|pv_key_index|observations|marker_of|renamed|quiet|min_size`)
	comment := regexp.MustCompile(`^( *)# ([a-z_]+: \S+)$`)
	for line := range strings.Lines(string(text)) {
		if !notDefaults.MatchString(line) {
			line = comment.ReplaceAllString(strings.TrimRight(line, "\n"), "$1$2") + "\n"
		}
		lines = append(lines, line)
	}
	path := filepath.Join(filepath.Dir(sample), "cardbatch.yaml")
	want, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	spelled := filepath.Join(t.TempDir(), "cardbatch.yaml")
	if err := os.WriteFile(spelled, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(spelled)
	if err != nil {
		t.Fatal(err)
	}
	if got.Issuers[0].Submit.ClaimSize != 500 || strings.Join(lines, "") == string(text) {
		t.Error("nothing was uncommented")
	}
	if diff := cmp.Diff(comparable(want), comparable(got)); diff != "" {
		t.Error(diff)
	}
}

// comparable renders a configuration without the directory it came from.
func comparable(c *config.Config) string {
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(b), filepath.Dir(c.Path), "DIR")
}

func keys(t reflect.Type, prefix string) []string {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var all []string
	for _, f := range strictyaml.Fields(t) {
		all = append(all, prefix+f.Name)
		all = append(all, keys(f.Type, prefix+f.Name+".")...)
	}
	return all
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/cardbatch.service")
	c, err := config.Load(sample)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs(filepath.Dir(sample))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		file config.File
		want string
	}{
		{c.Issuers[0].D1.TLS.CertFile, filepath.Join(dir, "d1-client.pem")},
		{c.Keys.FingerprintFile, "/run/credentials/cardbatch.service/fingerprint"},
	} {
		if got, err := tc.file.Path(); err != nil || got != tc.want {
			t.Errorf("got %s, %v, want %s", got, err, tc.want)
		}
	}
	if _, err := config.File("credential:../x").Path(); err == nil {
		t.Error("a credential outside its directory was accepted")
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := c.Keys.FingerprintFile.Path(); err == nil {
		t.Error("a credential was found without a directory of credentials")
	}
}

func TestCheckFilesNamesEveryMissingFile(t *testing.T) {
	c, err := config.Load(sample)
	if err != nil {
		t.Fatal(err)
	}
	err = c.CheckFiles()
	if err == nil {
		t.Fatal("the sample's files exist?")
	}
	for _, key := range []string{"keys.sealing.keys[0].file", "drops[0].private_key_file", "issuers[0].d1.jwe_keys[0].file", "notifications.cert_file"} {
		if !strings.Contains(err.Error(), key+": ") {
			t.Errorf("%s is not named in:\n%v", key, err)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) config.File {
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return config.File(path)
	}
	if s, err := write("pw\n").Secret(); err != nil || s.Reveal() != "pw" {
		t.Errorf("got %v, %v", s, err)
	}
	if s, err := config.File("").Secret(); err != nil || !s.IsZero() {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestProductsOfTheDomain(t *testing.T) {
	c, err := config.Load(sample)
	if err != nil {
		t.Fatal(err)
	}
	want := issuance.Product{
		ID: "MC_CREDIT_GOLD", BINRanges: []issuance.BINRange{{Low: "555555", High: "555555", Length: 16}}, ValidityYears: 6,
		Priorities: []string{"STANDARD", "URGENT"}, UrgentPriorities: []string{"URGENT"},
		Deliveries: []string{"usps-imb", "laposte-cip", "NO_SHIPMENT"}, Carriers: []string{"std-carrier"}, DefaultCarrier: "std-carrier",
		Packagings: []string{"standard-envelope"}, DefaultPackaging: "standard-envelope",
		Inserts: []string{"welcome-letter", "terms-and-conditions-v3"}, Countries: []string{"FR", "DE", "BE", "US"},
		ChipConfig: "mc-di-01", ODAKeyIndex: "01", DerivationKeyIndex: "01",
	}
	products := c.IssuanceProducts()
	if diff := cmp.Diff(want, products["MC_CREDIT_GOLD"]); diff != "" {
		t.Error(diff)
	}
	if len(products) != 2 {
		t.Errorf("got %d products", len(products))
	}
}

func TestStateDirectoryFromSystemd(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "c.yaml")
	short := strings.ReplaceAll(string(text), "state_dir: /var/lib/cardbatch\n", "\n")
	if err := os.WriteFile(path, []byte(short), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.StorePath() != "/var/lib/a/cardbatch.db" || c.DrainTimeout != 30*time.Second {
		t.Errorf("got %s, %s", c.StorePath(), c.DrainTimeout)
	}
}

func TestNoFileIsNotAProblemOfContent(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestPGP(t *testing.T) {
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	// Uncomment the sections of the sample.
	var lines []string
	begins, goesOn := regexp.MustCompile(`^( *)# (pgp:|report_pgp:)$`), regexp.MustCompile(`^( *)# (  [a-z#].*)$`)
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if begin := begins.MatchString(line); begin || inside && goesOn.MatchString(line) {
			line, inside = strings.Replace(line, "# ", "", 1), true
		} else {
			inside = false
		}
		lines = append(lines, line)
	}
	path := filepath.Join(t.TempDir(), "cardbatch.yaml")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s, i := c.Sources[0], c.Issuers[0]
	bank := config.File(filepath.Join(filepath.Dir(path), "bank-reports.asc"))
	switch {
	case !s.PGP.Enabled() || len(s.PGP.DecryptKeyFiles) != 2 || s.PGP.Signature != config.SignatureRequired || s.Pattern != "*.csv.pgp":
		t.Errorf("%+v, pattern %s", s.PGP, s.Pattern)
	case !s.ReportPGP.Enabled() || s.ReportPGP.EncryptToFiles[0] != bank || s.ReportPGP.SignKeyFile != "credential:pgp-key-2026":
		t.Errorf("%+v", s.ReportPGP)
	case len(i.Report.PGP.EncryptToFiles) != 1 || i.Report.PGP.SignKeyFile != "":
		t.Errorf("%+v", i.Report.PGP)
	}
	// Without a section of its own, an issuer's reports are encrypted like its source's.
	own := regexp.MustCompile(`(?m)^      pgp:\n        encrypt_to_files:.*\n`)
	joined := strings.Join(lines, "\n")
	if !own.MatchString(joined) {
		t.Fatal("the sample has no pgp section of an issuer")
	}
	if err := os.WriteFile(path, []byte(own.ReplaceAllString(joined, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = config.Load(path); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Sources[0].ReportPGP, c.Issuers[0].Report.PGP); diff != "" {
		t.Error(diff)
	}
}

// The format in the sample is commented out, but it is a good one.
func TestSampleFormat(t *testing.T) {
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	before, block, _ := strings.Cut(string(text), "    # format:\n")
	var lines []string
	rest := ""
	for line := range strings.Lines(block) {
		if inside, ok := strings.CutPrefix(line, "    #   "); ok && rest == "" {
			lines = append(lines, "      "+inside)
		} else {
			rest += line
		}
	}
	path := filepath.Join(t.TempDir(), "cardbatch.yaml")
	if err := os.WriteFile(path, []byte(before+"    format:\n"+strings.Join(lines, "")+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	f := c.Sources[0].Format
	if f.Delimiter != ";" || f.Columns["delivery_city"] != "Ort" || f.Values["issuance"]["N"] != "CREATION" || !f.Rows().ExtraColumns {
		t.Errorf("the format is %+v", f)
	}
	if got := c.Sources[0].Pattern; got != "*.csv.gz" {
		t.Errorf("pattern %q", got)
	}
	for _, f := range strictyaml.Fields(reflect.TypeFor[config.Format]()) {
		if reflect.ValueOf(c.Sources[0].Format).FieldByIndex(f.Index).IsZero() {
			t.Errorf("%s is not shown", f.Name)
		}
	}
}
