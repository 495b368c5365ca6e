// Command bench measures this SDK against its own goals and, where they are
// installed, against other programs. Every figure is made in the run that
// prints it; goals are ratios or bounds that do not depend on the machine.
//
//	go run ./examples/bench dane          the validator
//	go run ./examples/bench dane -json    the same as one JSON object
//	go run ./examples/bench registry      the registry
//	go run ./examples/bench mno           the operator
//	go run ./examples/bench device        the device
//
// Exit status: 0 measured, whether goals were met or not, 1 something could not
// be measured, 2 wrong usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// bench is one word after bench: a set of measures.
type bench struct {
	name, short string
	// setup registers the bench's own flags and returns what to do.
	setup func(*flag.FlagSet) func(context.Context, *report) error
}

// usageError is a mistake on the command line: exit status 2.
type usageError struct{ error }

func benches() []bench {
	return []bench{daneBench(), registryBench(), mnoBench(), deviceBench()}
}

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return 2
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		usage(stdout)
		return 0
	case childCommand:
		return child(ctx, args[1:], stdout, stderr)
	case mortalCommand:
		return mortal(ctx, args[1:], stdout, stderr)
	}
	for _, b := range benches() {
		if b.name == args[0] {
			return b.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "bench: no bench %q; bench -h lists them\n", args[0])
	return 2
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Usage: bench BENCH [flags]\n\n")
	for _, b := range benches() {
		fmt.Fprintf(w, "  %-10s %s\n", b.name, b.short)
	}
	fmt.Fprint(w, "\nbench BENCH -h shows its flags.\n")
}

func (b bench) run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet(b.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	measure := b.setup(fs)
	asJSON := fs.Bool("json", false, "print one JSON object")
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stdout, "Usage: bench %s [flags]\n\n%s.\n\n  go run ./examples/bench %s\n\n", b.name, b.short, b.name)
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return 0
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench %s: %v; -h shows the flags\n", b.name, err)
		return 2
	}
	r := newReport(b.name)
	if !*asJSON {
		r.live = stdout
	}
	if err := measure(ctx, r); err != nil {
		fmt.Fprintf(stderr, "bench %s: %v\n", b.name, err)
		if errors.As(err, new(usageError)) {
			return 2
		}
		return 1
	}
	if *asJSON {
		if err := json.NewEncoder(stdout).Encode(r); err != nil {
			fmt.Fprintf(stderr, "bench %s: %v\n", b.name, err)
			return 1
		}
	}
	return 0
}
