package main

import (
	"context"
	"errors"
	"flag"
	"time"
)

func daneBench() bench {
	return bench{
		name: "dane", short: "Measure the DNSSEC validator: offline, cold, warm, attacked, its memory, and beside other programs",
		setup: func(fs *flag.FlagSet) func(context.Context, *report) error {
			b := &daneRun{}
			fs.DurationVar(&b.rtt, "rtt", 50*time.Millisecond, "simulated round-trip `time`")
			fs.IntVar(&b.rounds, "rounds", 25, "turns that validation and bare verifications take")
			fs.IntVar(&b.trials, "trials", 5, "how often the other times are taken")
			fs.IntVar(&b.names, "names", 100, "look-ups for the memory figures")
			fs.IntVar(&b.zones, "zones", 200, "zones that the resolver may keep when its cache is tried")
			fs.IntVar(&b.processes, "processes", 10, "processes of each program that are run on a name each; 0: none")
			return b.run
		},
	}
}

// daneRun is one run of the bench.
type daneRun struct {
	rtt                                     time.Duration
	rounds, trials, names, zones, processes int
	stage                                   *stage
}

func (b *daneRun) run(ctx context.Context, r *report) error {
	if b.rtt <= 0 || b.rounds < 1 || b.trials < 1 || b.names < 1 || b.zones < 1 || b.processes < 0 {
		return usageError{errors.New("flags must be above zero")}
	}
	return b.parts(ctx, r, b.offline, b.lookups, b.keytrap, b.memory, b.peers)
}

// parts runs each part on a stage of its own. What fails in a world is an
// error here.
func (b *daneRun) parts(ctx context.Context, r *report, parts ...func(context.Context, *report) error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p
		default:
			panic(p)
		}
	}()
	for _, part := range parts {
		if err := b.on(ctx, r, part); err != nil {
			return err
		}
	}
	return nil
}

func (b *daneRun) on(ctx context.Context, r *report, part func(context.Context, *report) error) error {
	b.stage = &stage{}
	defer b.stage.end()
	return part(ctx, r)
}
