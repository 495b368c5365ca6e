package main

import (
	"context"
	"flag"
	"strconv"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web"
)

// chunk is how many devices go into one call that is no job.
const chunk = 10_000

// direct makes calls on devices that are no jobs, in portions: each with a key
// of its own where there is one.
func direct[T any](s *session, items []T, key string, whole bool, call func(c *web.Client, part []T) ([]registry.Result, error)) (report, error) {
	r := &results{apiHead: s.head(), Results: []registry.Result{}}
	size := chunk
	if whole {
		size = max(len(items), 1)
	}
	for n := 0; n*size < len(items); n++ {
		c := s.reg
		if key != "" {
			c = c.WithKey(key + "/" + strconv.Itoa(n))
		}
		part, err := call(c, items[n*size:min((n+1)*size, len(items))])
		r.Results = append(r.Results, part...)
		if err != nil && len(r.Results) == 0 {
			return nil, err
		}
		if err != nil {
			r.Error = err.Error()
			break
		}
	}
	r.judge()
	return r, nil
}

// idsCall is a call on devices that is no job.
type idsCall func(ctx context.Context, c *web.Client, opts registry.Options, ids []eid.ID) ([]registry.Result, error)

func idsCommand(name, short string, do idsCall) command {
	return command{
		name: name, args: idsArg, min: 1, max: -1, peer: apiPeer, short: short,
		long: idsHelp + "\n\n  iotreg " + name + " meters.csv\n  iotreg " + name + " 1000000000000001",
		setup: func(fs *flag.FlagSet) action {
			var opts registry.Options
			key := fs.String("key", "", "idempotency `key`")
			fs.BoolVar(&opts.Atomic, "atomic", false, "all devices or none, at most 10,000")
			fs.BoolVar(&opts.DryRun, "dry-run", false, "judge only, change nothing")
			return func(ctx context.Context, s *session, args []string) (report, error) {
				ids, err := s.ids(args)
				if err != nil {
					return nil, err
				}
				return direct(s, ids, *key, opts.Atomic, func(c *web.Client, part []eid.ID) ([]registry.Result, error) {
					return do(ctx, c, opts, part)
				})
			}
		},
	}
}
