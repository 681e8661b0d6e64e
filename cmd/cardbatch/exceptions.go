package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"cardbatch/internal/ageing"
	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/store"

	"github.com/spf13/cobra"
)

// exceptionView is something that needs a person, as JSON.
type exceptionView struct {
	Kind        string    `json:"kind"`
	IssuerID    string    `json:"issuer_id"`
	OrderID     string    `json:"order_id,omitempty"`
	Batch       string    `json:"batch,omitempty"`
	Line        int64     `json:"line,omitempty"`
	ProductID   string    `json:"card_product_id,omitempty"`
	MaskedPAN   string    `json:"masked_pan,omitempty"`
	Disposition string    `json:"disposition,omitempty"`
	Code        string    `json:"code,omitempty"`
	Text        string    `json:"text"`
	Times       int64     `json:"times,omitempty"`
	DueDate     string    `json:"due_date,omitempty"`
	Since       time.Time `json:"since"`
	AgeDays     int       `json:"age_days"`
	Remedy      string    `json:"remedy"`
}

// exceptions shows what the morning's file would say now.
func (s *settings) exceptions(cmd *cobra.Command, st *store.Store, f *orderFilter) error {
	if f.batch != "" || len(f.dispositions) > 0 {
		return exitcode.Mark(errors.New("look at exceptions: --batch and --state are for other orders"), exitcode.Usage,
			"--issuer and --limit go with --exceptions")
	}
	cfg, err := s.load()
	if err != nil {
		return err
	}
	if f.issuer != "" && !slices.ContainsFunc(cfg.Issuers, func(i config.Issuer) bool { return i.ID == f.issuer }) {
		return errNothing("issuer", f.issuer)
	}
	views := []exceptionView{}
	for i := range cfg.Issuers {
		if issuer := &cfg.Issuers[i]; f.issuer == "" || f.issuer == issuer.ID {
			some, err := listExceptions(cmd.Context(), st, cfg, issuer, f.limit-len(views))
			if err != nil {
				return err
			}
			views = append(views, some...)
		}
		if f.limit > 0 && len(views) >= f.limit {
			break
		}
	}
	if s.output == outputJSON {
		return writeJSON(cmd.OutOrStdout(), views)
	}
	return writeExceptions(cmd.OutOrStdout(), views)
}

// listExceptions lists at most limit of an issuer; all when that is not above zero.
func listExceptions(ctx context.Context, st *store.Store, cfg *config.Config, issuer *config.Issuer, limit int) (views []exceptionView, err error) {
	batches := map[issuance.BatchNo]string{}
	for item, err := range ageing.List(ctx, st, app.AgeingRules(cfg, issuer), issuer.ID, now()) {
		if err != nil {
			return nil, err
		}
		v := exceptionView{Kind: string(item.Kind), IssuerID: issuer.ID, Code: string(item.Code), Text: item.Text, Times: item.Times,
			Since: item.Since, AgeDays: item.Age, Remedy: item.Kind.Remedy()}
		switch {
		case item.Order != nil:
			o := item.Order
			if _, known := batches[o.Ref.Batch()]; !known {
				b, err := st.BatchByNo(ctx, o.Ref.Batch())
				if err != nil {
					return nil, err
				}
				batches[b.No] = b.ID
			}
			v.OrderID, v.Batch, v.Line, v.ProductID, v.MaskedPAN = o.OrderID, batches[o.Ref.Batch()], o.Line, o.ProductID, o.MaskedPAN
			v.Disposition, v.DueDate = o.Disposition(), o.Production.DueDate
		case item.Batch != nil:
			v.Batch, v.Disposition = item.Batch.ID, string(item.Batch.State)
		case item.Parked != nil:
			v.OrderID = item.Parked.IssuerRequestID
		}
		if views = append(views, v); len(views) == limit {
			break
		}
	}
	return views, nil
}

func writeExceptions(w io.Writer, views []exceptionView) error {
	t := newTable("kind", "order", "batch", ">line", "product", "pan", "since", ">days", "code", "text")
	for _, v := range views {
		t.add(v.Kind, orDash(v.OrderID), orDash(v.Batch), v.Line, orDash(v.ProductID), orDash(v.MaskedPAN), v.Since, v.AgeDays,
			orDash(v.Code), v.Text)
	}
	return t.write(w)
}
