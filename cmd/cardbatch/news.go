package main

import (
	"context"
	"io"
	"iter"
	"strings"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/store"

	"github.com/spf13/cobra"
)

func newNews(s *settings) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "news",
		Short: "show what D1 said that a person should look at",
		Long: `news lists, for every issuer, what D1 has said that does not fit: orders it took
twice, orders it had accepted and does not know, notifications that belong to no
order of ours, and statuses, operations and carriers we do not know.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.look(cmd, func(st *store.Store) error {
				cfg, err := s.load()
				if err != nil {
					return err
				}
				views := []newsView{}
				for _, i := range cfg.Issuers {
					if views, err = newsOf(cmd.Context(), st, i.ID, limit, views); err != nil {
						return err
					}
				}
				if s.output == outputJSON {
					return writeJSON(cmd.OutOrStdout(), views)
				}
				return writeNews(cmd.OutOrStdout(), views)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "of each kind and issuer, at most so `many`")
	return cmd
}

// newsView is one thing that does not fit.
type newsView struct {
	Issuer string     `json:"issuer"`
	Kind   string     `json:"kind"`
	What   string     `json:"what"`
	Detail string     `json:"detail,omitempty"`
	Times  int64      `json:"times"`
	Since  *time.Time `json:"since,omitempty"`
}

func newsOf(ctx context.Context, st *store.Store, issuer string, limit int, views []newsView) ([]newsView, error) {
	var err error
	add := func(kind, what, detail string, times int64, since time.Time) {
		v := newsView{Issuer: issuer, Kind: kind, What: what, Detail: detail, Times: times}
		if !since.IsZero() {
			v.Since = &since
		}
		views = append(views, v)
	}
	err = firstOf(limit, st.OrdersTakenTwice(ctx, issuer), func(o issuance.Order) {
		ids := append([]string{o.OperationID}, o.OtherOperations...)
		add("taken twice", o.OrderID, "operations "+strings.Join(ids, ", "), int64(len(ids)), o.SubmittedAt)
	})
	if err != nil {
		return nil, err
	}
	err = firstOf(limit, st.MissingOrders(ctx, issuer), func(o issuance.Order) {
		add("missing at D1", o.OrderID, "operation "+orDash(o.OperationID), int64(o.NotFound), o.SubmittedAt)
	})
	if err != nil {
		return nil, err
	}
	err = firstOf(limit, st.ParkedOperations(ctx, issuer, now().Add(time.Second)), func(p issuance.Parked) {
		what := "card " + p.CardID
		if p.IssuerRequestID != "" {
			what = p.IssuerRequestID
		}
		add("no such order", what, string(p.Status), 1, p.ParkedAt)
	})
	if err != nil {
		return nil, err
	}
	words, err := st.StrangeWords(ctx, issuer)
	for _, w := range words[:max(0, min(limit, len(words)))] {
		add("unknown "+strings.ReplaceAll(string(w.Kind), "_", " "), orDash(w.Word), "", w.Times, w.FirstAt)
	}
	return views, err
}

// firstOf gives the first of a stream, so many as there may be.
func firstOf[T any](limit int, all iter.Seq2[T, error], do func(T)) error {
	for v, err := range all {
		if err != nil || limit <= 0 {
			return err
		}
		limit--
		do(v)
	}
	return nil
}

func writeNews(w io.Writer, views []newsView) error {
	t := newTable("issuer", "kind", "what", ">times", "since", "detail")
	for _, v := range views {
		since := "-"
		if v.Since != nil {
			since = clock(*v.Since)
		}
		t.add(v.Issuer, v.Kind, v.What, v.Times, since, orDash(v.Detail))
	}
	return t.write(w)
}
