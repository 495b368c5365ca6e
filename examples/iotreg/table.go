package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"text/tabwriter"

	"github.com/iotregistry/sdk/registry/web"
)

// apiHead is what the reports of the API's commands begin with.
type apiHead struct {
	Command string `json:"command"`
	OK      bool   `json:"ok"`
}

func (h *apiHead) ok() bool { return h.OK }

func (s *session) head() apiHead { return apiHead{s.command, true} }

// listing is a report of things of one kind.
type listing[T any] struct {
	apiHead
	Items []T `json:"items"`

	columns string // their titles, in one text
	row     func(T) []any
}

func (l *listing[T]) text(w io.Writer) {
	if len(l.Items) == 0 {
		fmt.Fprintln(w, "none")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(strings.Fields(l.columns), "\t"))
	for _, item := range l.Items {
		fmt.Fprintln(tw, cells(l.row(item)))
	}
	tw.Flush()
}

// cells joins what a row shows: a tab or line end in it would move the others.
func cells(row []any) string {
	out := make([]string, len(row))
	for i, cell := range row {
		out[i] = orDash(strings.Join(strings.Fields(fmt.Sprint(cell)), " "))
	}
	return strings.Join(out, "\t")
}

// listed collects a list, at most limit of it where that is above zero.
func listed[T any](s *session, seq iter.Seq2[T, error], limit int, columns string, row func(T) []any) (report, error) {
	l := &listing[T]{apiHead: s.head(), Items: []T{}, columns: columns, row: row}
	for item, err := range seq {
		if err != nil {
			return nil, err
		}
		if l.Items = append(l.Items, item); len(l.Items) == limit {
			break
		}
	}
	return l, nil
}

// each makes a sequence of what a call returned at once.
func each[T any](items []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

// single is a report of one thing.
type single struct {
	apiHead
	Item any `json:"item,omitempty"`

	lines []pair
}

type pair struct {
	name  string
	value any
}

func (r *single) text(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range r.lines {
		if value := cells([]any{p.value}); value != "-" {
			fmt.Fprintf(tw, "%s\t%s\n", p.name, value)
		}
	}
	tw.Flush()
}

func (s *session) single(item any, lines ...pair) report {
	return &single{s.head(), item, lines}
}

// done reports that something was done which has nothing to show.
func (s *session) done(what string, args ...any) report {
	return s.single(nil, pair{"done", fmt.Sprintf(what, args...)})
}

// apiCall is a command that needs no flags of its own.
type apiCall func(ctx context.Context, s *session, c *web.Client, args []string) (report, error)

func (f apiCall) action() action {
	return func(ctx context.Context, s *session, args []string) (report, error) { return f(ctx, s, s.reg, args) }
}
