package main

import (
	"context"
	"flag"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
)

// Arguments that many commands take.
const (
	idsArg  = "FILE|ID..."
	idsHelp = `FILE is a CSV whose first line names the column Device ID; other columns do not
matter; - is standard input.`
	jobHelp = `The registry does it as a job, which goes on when iotreg is interrupted; see
iotreg job -h. Made again with the same -key and list, also after trouble on the
way, it is the same job. Exit status 0 means that all devices were done.`
)

// bulk are the flags of a command that submits a job.
type bulk struct {
	registry.Batch
	key    string
	noWait bool
}

func (b *bulk) register(fs *flag.FlagSet) {
	fs.BoolVar(&b.Atomic, "atomic", false, "all devices or none, at most 10,000")
	fs.BoolVar(&b.DryRun, "dry-run", false, "judge only, change nothing")
	fs.BoolVar(&b.noWait, "no-wait", false, "print the job and do not wait for it")
	fs.StringVar(&b.key, "key", "", "idempotency `key`: the same list submitted again with it is the same job")
}

func bulkCommands() []command {
	return []command{
		importCommand(),
		plain("activate", "Issue, seal, publish and order the devices' first profiles", registry.OpActivate),
		plain("reset", "Give active devices a new profile of the same provider", registry.OpReset),
		switchCommand(),
		plain("delete", "Take devices out of service", registry.OpDelete),
		plain("restore", "Bring deleted devices back in their redemption period", registry.OpRestore),
	}
}

func importCommand() command {
	return command{
		name: "import", args: "FILE", min: 1, max: 1, peer: apiPeer,
		short: "Register the devices of an owner's list with you",
		long: `FILE is a CSV with the columns Device ID,Model,Version and optionally Public Key
and MNO; - is standard input. ` + jobHelp + `

  iotreg import meters.csv -owner ottawa -mno telco
  iotreg import meters.csv -owner ottawa -dry-run -json`,
		setup: func(fs *flag.FlagSet) action {
			b := &bulk{Batch: registry.Batch{Op: registry.OpImport}}
			b.register(fs)
			fs.StringVar(&b.Owner, "owner", "", "`account` of the devices' owner (required)")
			fs.StringVar(&b.MNO, "mno", "", "`account` of the operator of rows that name none")
			return func(ctx context.Context, s *session, args []string) (report, error) {
				if b.Owner == "" {
					return nil, usagef("-owner is missing")
				}
				rows, err := s.rows(args[0], registry.ReadCSV)
				if err != nil {
					return nil, err
				}
				return s.submit(ctx, b, rows)
			}
		},
	}
}

func switchCommand() command {
	return command{
		name: "switch", args: idsArg, min: 1, max: -1, peer: apiPeer,
		short: "Take devices to another operator, with a new profile",
		long:  idsHelp + " " + jobHelp + "\n\n  iotreg switch -mno othertel meters.csv",
		setup: func(fs *flag.FlagSet) action {
			b := &bulk{Batch: registry.Batch{Op: registry.OpSwitch}}
			b.register(fs)
			fs.StringVar(&b.MNO, "mno", "", "`account` of the new operator (required)")
			return func(ctx context.Context, s *session, args []string) (report, error) {
				if b.MNO == "" {
					return nil, usagef("-mno is missing")
				}
				return s.submitDevices(ctx, b, args)
			}
		},
	}
}

// plain is an operation on devices that needs nothing but their names.
func plain(name, short string, op registry.Op) command {
	return command{
		name: name, args: idsArg, min: 1, max: -1, peer: apiPeer, short: short,
		long: idsHelp + " " + jobHelp + "\n\n  iotreg " + name + " meters.csv\n  iotreg " + name + " 1000000000000001 1000000000000002",
		setup: func(fs *flag.FlagSet) action {
			b := &bulk{Batch: registry.Batch{Op: op}}
			b.register(fs)
			return func(ctx context.Context, s *session, args []string) (report, error) {
				return s.submitDevices(ctx, b, args)
			}
		},
	}
}

func (s *session) submitDevices(ctx context.Context, b *bulk, args []string) (report, error) {
	rows, err := s.devices(args)
	if err != nil {
		return nil, err
	}
	return s.submit(ctx, b, rows)
}

// submit makes a job of the rows and, unless told not to, waits for it.
func (s *session) submit(ctx context.Context, b *bulk, rows []registry.Row) (report, error) {
	if len(rows) == 0 {
		return nil, usagef("the list names no devices")
	}
	j, err := keyed(s.reg, b.key).Submit(ctx, b.Batch, each(rows, nil))
	if err != nil {
		return nil, err
	}
	if b.noWait {
		return s.job(j), nil
	}
	return s.await(ctx, j.ID)
}

func keyed(c *web.Client, key string) *web.Client {
	if key == "" {
		return c
	}
	return c.WithKey(key)
}
