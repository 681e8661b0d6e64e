package intake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
)

// verdict is what is to become of a file. The zero value accepts it.
type verdict struct {
	to     issuance.BatchState
	code   issuance.Code
	reason string
}

func accept() verdict { return verdict{to: issuance.BatchAccepted} }

func refuse(code issuance.Code, format string, args ...any) verdict {
	return verdict{issuance.BatchRefused, code, fmt.Sprintf(format, args...)}
}

func (v verdict) refused() bool { return v.to == issuance.BatchRefused }

// unauthentic reports whether the rows may be anybody's: what was read of a
// message before its seal proved broken. A receipt that spoke of them would
// tell somebody who tampers with files what is in them.
func (v verdict) unauthentic() bool {
	switch v.code {
	case issuance.PGPDamaged, issuance.PGPWeak, issuance.PGPSignatureMissing, issuance.PGPSignerUntrusted, issuance.PGPSignatureInvalid:
		return true
	default:
		return false
	}
}

// judge reads a file that is out of sight and says what is to become of it. An
// error means that this could not be found out yet.
func (s *Stage) judge(ctx context.Context, src *Source, b *issuance.Batch) (verdict, error) {
	if v, err := s.checkControl(ctx, src, b); err != nil || v.refused() {
		return v, err
	}
	v, err := s.checkHistory(ctx, src, b)
	if err != nil || v.refused() {
		return v, err
	}
	loaded, err := s.load(ctx, src, b)
	if err != nil {
		return verdict{}, err
	}
	b.Rows = loaded.rows
	if loaded.sha256 != "" {
		b.Size, b.SHA256 = loaded.size, loaded.sha256
	}
	if w := checkLoaded(b, loaded); w.refused() {
		return w, nil
	}
	if b.Control == nil {
		if w, err := s.checkContent(ctx, src, b); err != nil || w.refused() {
			return w, err
		}
	}
	totals, err := s.count(ctx, b)
	if err != nil {
		return verdict{}, fmt.Errorf("count the rows: %w", err)
	}
	if w := checkRejects(src, b.Rows, totals.rejected); w.refused() {
		return w, nil
	}
	return v, nil
}

// checkControl reads the control file, if the source has one, and checks what
// it says of itself.
func (s *Stage) checkControl(ctx context.Context, src *Source, b *issuance.Batch) (verdict, error) {
	if !src.Completion.Control {
		return accept(), nil
	}
	name := b.FileName + controlSuffix
	if err := s.hide(ctx, src, b, name); errors.Is(err, drop.ErrNotExist) {
		return refuse(issuance.ControlInvalid, "the control file %s was gone when it was to be read", name), nil
	} else if err != nil {
		return verdict{}, err
	}
	content, err := s.readControl(ctx, src, b)
	if errors.Is(err, fs.ErrPermission) {
		return refuse(issuance.ControlInvalid, "the control file %s may not be read: permission denied", name), nil
	}
	if err != nil {
		return verdict{}, err
	}
	if len(content) > maxControl {
		return refuse(issuance.ControlInvalid, "the control file is larger than %d bytes", maxControl), nil
	}
	control, err := orderfile.ParseControl(content)
	if err != nil {
		return refuse(issuance.ControlInvalid, "%v", err), nil
	}
	b.Control, b.BusinessDate = &control, control.BusinessDate
	if v := checkControlFile(&control, b.FileName, src.IssuerID, src.Environment); v.refused() {
		return v, nil
	}
	return src.checkBusinessDate(control.BusinessDate, s.Now()), nil
}

// checkControlFile compares a control file with the file beside it and with the
// source it came from.
func checkControlFile(c *issuance.Control, fileName, issuerID, environment string) verdict {
	switch {
	case c.File != fileName:
		return refuse(issuance.ControlInvalid, "the control file is about %s, not about %s", path.Base(c.File), fileName)
	case c.IssuerID != issuerID:
		return refuse(issuance.WrongIssuer, "the control file says issuer %s, this source is of %s", c.IssuerID, issuerID)
	case c.Environment != environment:
		return refuse(issuance.WrongEnvironment, "the control file says %s, this is %s", c.Environment, environment)
	default:
		return accept()
	}
}

// checkBusinessDate compares the date of a control file with our own calendar.
func (src *Source) checkBusinessDate(date string, now time.Time) verdict {
	if src.BusinessDates == nil {
		return accept()
	}
	y, m, d := now.In(src.Location).Date()
	day := func(offset int) string { return time.Date(y, m, d+offset, 0, 0, 0, 0, time.UTC).Format(time.DateOnly) }
	first, last := day(-src.BusinessDates.Back), day(src.BusinessDates.Ahead)
	if date < first || date > last {
		return refuse(issuance.BusinessDateRange, "the business date is %s; today, on %s, it may be %s to %s", date, day(0), first, last)
	}
	return accept()
}

// checkHistory looks for the file among the earlier ones of its source. The
// order matters for the sender: the same content again says more than the same
// name or number again.
func (s *Stage) checkHistory(ctx context.Context, src *Source, b *issuance.Batch) (verdict, error) {
	c := b.Control
	if c != nil && c.Rows > 0 { // nil returns are all the same
		by := issuance.PriorKey{SHA256: strings.ToLower(c.SHA256)}
		if v, err := s.checkPrior(ctx, src, by, issuance.DuplicateContent, "the same content"); err != nil || v.refused() {
			return v, err
		}
	}
	if c != nil {
		by := issuance.PriorKey{Sequence: c.Sequence}
		if v, err := s.checkPrior(ctx, src, by, issuance.SequenceRepeated, fmt.Sprintf("sequence %d", c.Sequence)); err != nil || v.refused() {
			return v, err
		}
	}
	v, err := s.checkPrior(ctx, src, issuance.PriorKey{Name: b.FileName}, issuance.DuplicateName, "a file of this name")
	if err != nil || v.refused() || c == nil {
		return v, err
	}
	return s.checkSequence(ctx, src, c.Sequence)
}

func (s *Stage) checkContent(ctx context.Context, src *Source, b *issuance.Batch) (verdict, error) {
	return s.checkPrior(ctx, src, issuance.PriorKey{SHA256: b.SHA256}, issuance.DuplicateContent, "the same content")
}

func (s *Stage) checkPrior(ctx context.Context, src *Source, by issuance.PriorKey, code issuance.Code, what string) (verdict, error) {
	prior, found, err := s.Store.PriorFile(ctx, src.Name, by)
	if err != nil {
		return verdict{}, fmt.Errorf("look for an earlier file: %w", err)
	}
	if !found {
		return accept(), nil
	}
	return refuse(code, "%s was taken before: file %s, batch %s, %s", what, prior.FileName, prior.ID,
		prior.ReceivedAt.UTC().Format("2006-01-02 15:04 UTC")), nil
}

// checkLoaded compares what was read with what was announced.
func checkLoaded(b *issuance.Batch, l loaded) verdict {
	if l.fault.refused() {
		return l.fault
	}
	c := b.Control
	switch {
	case c == nil && l.endedInsideRow:
		return refuse(issuance.Truncated, "the file ends inside row %d", l.rows)
	case c == nil && l.rows == 0:
		return refuse(issuance.EmptyFile, "the file has no rows, and no control file says that this is meant")
	case c == nil:
		return accept()
	case l.rows < c.Rows:
		return refuse(issuance.Truncated, "the control file announces %d rows, the file has %d", c.Rows, l.rows)
	case l.rows != c.Rows:
		return refuse(issuance.RowCountMismatch, "the control file announces %d rows, the file has %d", c.Rows, l.rows)
	case !strings.EqualFold(l.sha256, c.SHA256) && l.endedInsideRow:
		return refuse(issuance.Truncated, "the file ends inside row %d", l.rows)
	case !strings.EqualFold(l.sha256, c.SHA256):
		return refuse(issuance.ChecksumMismatch, "the SHA-256 of the file is %s…, the control file announces %s…", l.sha256[:12], c.SHA256[:min(12, len(c.SHA256))])
	}
	if b.Kind == issuance.BatchChanges && len(c.Products) > 0 {
		return refuse(issuance.ProductCountMismatch, "the control file counts rows of products, and the rows of a change file are of none")
	}
	return checkProducts(c, &l)
}

// checkProducts compares the rows of each product. A rejected row may have lost
// its product, so it may make up for one that a product lacks; nothing makes up
// for too many. Package reconcile proves the same for every report.
func checkProducts(c *issuance.Control, l *loaded) verdict {
	if l.uncounted > 0 {
		return refuse(issuance.ProductCountMismatch, "rows of products that the control file does not count: %d", l.uncounted)
	}
	var lacking int64
	for _, id := range slices.Sorted(maps.Keys(c.Products)) {
		announced, found := c.Products[id], l.products[id]
		lacking += max(0, announced-found)
		if found > announced || lacking > l.unattributed {
			return refuse(issuance.ProductCountMismatch, "the control file announces %d rows of product %s, the file has %d", announced, id, found)
		}
	}
	return accept()
}

// checkRejects applies the source's policy on rejected rows.
func checkRejects(src *Source, rows, rejected int64) verdict {
	switch {
	case rejected == 0:
		return accept()
	case src.Accept == AllOrNothing:
		return refuse(issuance.TooManyRejects, "%d of %d rows are rejected, and this source takes all or nothing", rejected, rows)
	case tooMany(rejected, rows, src.MaxRejects):
		return refuse(issuance.TooManyRejects, "%d of %d rows are rejected, more than the %.10g %% this source allows", rejected, rows, 100*src.MaxRejects)
	default:
		return accept()
	}
}

// tooMany reports whether a share is exceeded. The share was written in decimal
// digits: 29 of 100 is not more than 29 %, although 0.29*100 is less than 29.
func tooMany(rejected, rows int64, share float64) bool {
	const rounding = 1e-12 // far less than one row of any file
	return float64(rejected) > share*float64(rows)*(1+rounding)
}

// decide commits the verdict.
func (s *Stage) decide(ctx context.Context, b *issuance.Batch, v verdict) (counts, error) {
	if v.unauthentic() {
		if err := s.Store.ResetBatch(ctx, b.No); err != nil {
			return counts{}, fmt.Errorf("forget the rows of %s: %w", b.FileName, err)
		}
	}
	why := issuance.Why{At: s.Now(), Stage: "intake", Session: s.Session, Code: v.code, Reason: v.reason}
	if err := s.Store.DecideBatch(ctx, *b, v.to, why); err != nil {
		return counts{}, fmt.Errorf("record the verdict on %s: %w", b.FileName, err)
	}
	totals, err := s.count(ctx, b)
	if err != nil {
		return counts{}, fmt.Errorf("count the rows of %s: %w", b.FileName, err)
	}
	return totals, nil
}
