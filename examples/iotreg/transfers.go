package main

import (
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web"
	"github.com/iotregistry/sdk/transfer"
)

func transferCommands() []command {
	return []command{
		codesCommand(),
		idsCommand("codes clear", "Take authorization codes out of use", func(ctx context.Context, c *web.Client, o registry.Options, ids []eid.ID) ([]registry.Result, error) {
			return c.ClearCodes(ctx, o, ids...)
		}),
		transferCommand(),
		idsCommand("transfer approve", "Let pending transfers of your devices happen", func(ctx context.Context, c *web.Client, o registry.Options, ids []eid.ID) ([]registry.Result, error) {
			return c.ApproveTransfer(ctx, o, ids...)
		}),
		idsCommand("transfer reject", "End pending transfers: your devices stay", func(ctx context.Context, c *web.Client, o registry.Options, ids []eid.ID) ([]registry.Result, error) {
			return c.RejectTransfer(ctx, o, ids...)
		}),
		idsCommand("transfer cancel", "Take your own requests back", func(ctx context.Context, c *web.Client, o registry.Options, ids []eid.ID) ([]registry.Result, error) {
			return c.CancelTransfer(ctx, o, ids...)
		}),
		idsCommand("transfer undo", "Take devices back to the provider before", func(ctx context.Context, c *web.Client, o registry.Options, ids []eid.ID) ([]registry.Result, error) {
			return c.UndoTransfer(ctx, o, ids...)
		}),
		{
			name: "transfer history", args: "ID", min: 1, max: 1, peer: apiPeer,
			short: "Show a device's transfers, oldest first",
			long:  "  iotreg transfer history 1000000000000001",
			setup: func(*flag.FlagSet) action {
				return apiCall(func(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
					id, err := oneID(args[0])
					if err != nil {
						return nil, err
					}
					return listed(s, each(c.Transfers(ctx, id)), 0, transferColumns, transferRow)
				}).action()
			},
		},
		{
			name: "transfer incoming", peer: apiPeer,
			short: "List the devices that you asked for and that are not decided",
			long:  "  iotreg transfer incoming",
			setup: func(fs *flag.FlagSet) action {
				limit := limitFlag(fs)
				return apiCall(func(ctx context.Context, s *session, c *web.Client, _ []string) (report, error) {
					return listed(s, c.Incoming(ctx), *limit, transferColumns, transferRow)
				}).action()
			},
		},
	}
}

const transferColumns = "DEVICE STATUS FROM TO OLD NEW REQUESTED ACTED"

func transferRow(t transfer.Transfer) []any {
	return []any{t.Device, t.Status, t.From, t.To, number(t.OldProfile), number(t.NewProfile), stamp(t.Requested), stamp(t.Acted)}
}

func limitFlag(fs *flag.FlagSet) *int {
	return fs.Int("limit", 0, "show at most this `number`; 0 for all")
}

func transferCommand() command {
	return command{
		name: "transfer", args: "FILE", min: 1, max: 1, peer: apiPeer,
		short: "Ask for devices with their owners' codes",
		long: `FILE is a CSV with the columns Device ID,Authorization Code, as iotreg codes
writes it; - is standard input. ` + jobHelp + `

  iotreg transfer codes.csv`,
		setup: func(fs *flag.FlagSet) action {
			b := &bulk{Batch: registry.Batch{Op: registry.OpTransfer}}
			b.register(fs)
			return func(ctx context.Context, s *session, args []string) (report, error) {
				rows, err := s.rows(args[0], registry.ReadCodes)
				if err != nil {
					return nil, err
				}
				return s.submit(ctx, b, rows)
			}
		},
	}
}

func codesCommand() command {
	return command{
		name: "codes", args: idsArg, min: 1, max: -1, peer: apiPeer,
		short: "Draw authorization codes for devices that you own",
		long: idsHelp + `

Whoever holds a device's code can take it to another provider. A code drawn
again replaces the one before. The file of -out is a list as iotreg transfer
reads it, readable by you alone; hand it to the provider of your choice on a
safe way.

  iotreg codes meters.csv -out codes.csv
  iotreg codes 1000000000000001 -show`,
		setup: func(fs *flag.FlagSet) action {
			out := fs.String("out", "", "write the codes to this new `file`, with mode 0600")
			show := fs.Bool("show", false, "print the codes")
			return func(ctx context.Context, s *session, args []string) (report, error) {
				if (*out == "") != *show {
					return nil, usagef("give either -out FILE or -show")
				}
				ids, err := s.ids(args)
				if err != nil {
					return nil, err
				}
				return s.codes(ctx, ids, *out)
			}
		},
	}
}

// codes draws codes, in portions so that those that were drawn are written
// whatever happens to the others.
func (s *session) codes(ctx context.Context, ids []eid.ID, path string) (_ report, err error) {
	r := &codesReport{results: results{apiHead: s.head(), Results: []registry.Result{}}, File: path}
	w := io.Discard
	if path != "" {
		f, e := output(path)
		if e != nil {
			return nil, e
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		w = f
	}
	sheet := csv.NewWriter(w)
	_ = sheet.Write([]string{"Device ID", "Authorization Code", "Expires"}) // Flush tells
	for n := 0; n < len(ids); n += chunk {
		codes, err := s.reg.IssueCodes(ctx, ids[n:min(n+chunk, len(ids))]...)
		if err != nil && n == 0 {
			if path != "" {
				_ = os.Remove(path) // it holds no codes
			}
			return nil, err
		}
		if err != nil {
			r.Error = err.Error()
			break
		}
		for _, c := range codes {
			r.Results = append(r.Results, registry.Result{Device: c.Device, Err: c.Err})
			if c.Err == nil {
				_ = sheet.Write([]string{c.Device.String(), c.Code.Reveal(), stamp(c.Expires)})
			}
			if c.Err == nil && path == "" {
				r.Codes = append(r.Codes, shownCode{c.Device, c.Code.Reveal(), c.Expires})
			}
		}
	}
	r.judge()
	sheet.Flush()
	return r, sheet.Error()
}

// codesReport shows codes only where the user asked for that.
type codesReport struct {
	results
	File  string      `json:"file,omitempty"`
	Codes []shownCode `json:"codes,omitempty"`
}

type shownCode struct {
	Device  eid.ID    `json:"device"`
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"`
}

func (r *codesReport) text(w io.Writer) {
	for _, c := range r.Codes {
		fmt.Fprintf(w, "%s  %s  until %s\n", c.Device, c.Code, stamp(c.Expires))
	}
	if r.Failed > 0 || r.Error != "" {
		r.results.text(w)
	}
	if r.File != "" {
		fmt.Fprintf(w, "%s written to %s: whoever has it can take the devices\n", count(len(r.Results)-r.Failed, "code"), r.File)
	}
}
