// Command registry is the Secure IoT Registry as a service: the JSON API over
// HTTPS, the signed DNS zone, look-ups, metrics, and the work behind them, in
// one process that a small registry can run as it is.
//
//	go run ./examples/registry                  everything with defaults, on loopback, in ./iotreg-data
//	go run ./examples/registry -print-config    all settings with what they mean, to edit
//	go run ./examples/registry -config FILE
//	go run ./examples/registry init             make the data folder and the operator's token, and end
//	go run ./examples/registry maker LIST       play a device maker: keys and signed claims for a list
//
// One process runs a registry: the zone lives in its memory, so a second one would
// not see what the first one publishes. A larger registry publishes to name
// servers of its own instead, see package dane/publish.
//
// The first start makes what it needs in the data folder, with mode 0700: keys,
// certificates, an SQLite database, and operator.token, with which iotreg makes
// everything else. Send it SIGTERM or SIGINT to end it; exit status 0 means that
// it ended so, 1 that something failed, 2 wrong usage or configuration.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// usageError is a mistake on the command line or in the configuration: exit
// status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// flags are what the command line says.
type flags struct {
	config      string
	printConfig bool
	json        bool
	out         string // of maker
	csr         bool   // of maker
	args        []string

	// Of the configuration, which they override.
	data, zone, store, listen, dns, metrics, logFormat, logLevel string
}

func (f *flags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.config, "config", "", "read the settings from this JSON `file`; lines that begin with // are comments")
	fs.BoolVar(&f.printConfig, "print-config", false, "print all settings with their defaults and what they mean, and end")
	fs.BoolVar(&f.json, "json", false, "print the line that says where everything is as JSON")
	fs.StringVar(&f.out, "out", ".", "`folder` for what maker makes")
	fs.BoolVar(&f.csr, "csr", false, "have maker make the cards' own signing keys too, with certificate requests in the claims")
	fs.StringVar(&f.data, "data", "", "`folder` for keys, certificates and the database")
	fs.StringVar(&f.zone, "zone", "", "the registry's DNS `zone`")
	fs.StringVar(&f.store, "store", "", "SQLite `file`, or a DSN that begins with postgres://")
	fs.StringVar(&f.listen, "listen", "", "`address` of the API, host:port")
	fs.StringVar(&f.dns, "dns", "", "`address` of the DNS server, host:port")
	fs.StringVar(&f.metrics, "metrics", "", "`address` of the metrics, host:port")
	fs.StringVar(&f.logFormat, "log-format", "", "`format` of the log on standard error: text or json")
	fs.StringVar(&f.logLevel, "log-level", "", "least `level` that is logged: debug, info, warn or error")
}

const usageText = `Usage: registry [flags] [init | maker LIST]

Runs the Secure IoT Registry: the API over HTTPS, the signed zone over DNS, and
the work behind them. The first start makes everything it needs.

  init         make the data folder and the operator's token, and end
  maker LIST   play a device maker: make a key for each device of LIST and sign
               the claims (claims.csv, claims.csv.sig, maker.pem in -out);
               with -csr as if the cards made their keys (cards/ID.pem in -out)

Flags override the configuration:
`

func parseFlags(args []string, stdout io.Writer) (*flags, error) {
	f := &flags{}
	fs := flag.NewFlagSet("registry", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f.register(fs)
	for { // flags may stand after the words too
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				fmt.Fprint(stdout, usageText)
				fs.SetOutput(stdout)
				fs.PrintDefaults()
			}
			return nil, err
		}
		if fs.NArg() == 0 {
			return f, nil
		}
		f.args, args = append(f.args, fs.Arg(0)), fs.Args()[1:]
	}
}

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "registry: %v; registry -h shows the flags\n", err)
		return 2
	}
	if err := f.do(ctx, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "registry: %v\n", err)
		if errors.As(err, new(usageError)) {
			return 2
		}
		return 1
	}
	return 0
}

func (f *flags) do(ctx context.Context, stdout, stderr io.Writer) error {
	if f.printConfig {
		return printConfig(stdout)
	}
	if len(f.args) == 2 && f.args[0] == "maker" {
		return playMaker(f.args[1], f.out, f.csr, stdout)
	}
	if len(f.args) > 1 || len(f.args) == 1 && f.args[0] != "init" {
		return usagef("unexpected argument %q; registry -h shows what there is", f.args[0])
	}
	cfg, err := f.settings()
	if err != nil {
		return err
	}
	log, err := cfg.Log.logger(stderr)
	if err != nil {
		return err
	}
	s, err := open(ctx, cfg, log)
	if err != nil {
		return err
	}
	if len(f.args) == 1 {
		return errors.Join(s.initialise(ctx, stdout), s.close())
	}
	return s.serve(ctx, stdout, f.json)
}
