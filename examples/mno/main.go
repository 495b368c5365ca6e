// Command mno is a mobile operator's SM-DP+ as a service: registries order
// profiles from it over ES2+ with mutual TLS, and devices download them over
// ES9+ in its JSON and ASN.1 bindings (GSMA SGP.22 version 2.5). Beside it is an
// eIM (GSMA SGP.32 version 1.2): devices ask it over ESipa what there is to do,
// and it has them download and enable what was ordered for their EIDs.
//
//	go run ./examples/mno                   serve, with defaults, on loopback, in ./mno-data
//	go run ./examples/mno euicc             make an eUICC's identity, for examples/device
//	go run ./examples/mno -h                all flags
//
// # Certificates
//
// They are in one folder, DATA/certs or -certs. Where that is empty, the first
// start makes a private PKI there: a CI of its own, everything else below it, so
// that nothing is trusted anywhere else. Otherwise what is found is used as it
// is. Keys are PEM files of mode 0600, chains have the leaf first:
//
//	ci.pem                              the CIs whose eUICCs are served, one or more
//	dpauth.pem, dpauth.key              CERT.DPauth.ECDSA
//	dppb.pem, dppb.key                  CERT.DPpb.ECDSA
//	server.pem, server.key              TLS server certificate of ES2+, ES9+ and ESipa
//	eim.pem, eim.key                    what eUICCs know the eIM by; not with an empty -esipa
//	tls-ca.pem                          whose ES2+ client certificates are let in; -es2-client-ca instead
//	progress-client.pem, .key           TLS client certificate towards -progress; only with it
//	eum.pem, eum.key                    only for "mno euicc"
//
// The private PKI has besides: es2-client.pem and es2-client.key for the registry
// that orders here, and ci.key and tls-ca.key, to make more with.
//
// Every client certificate that is let in may order under any name: one CA for
// one registry, or for registries that trust each other.
//
// The keys of GSMA's test CI (SGP.26) are published, so that anybody can make an
// eUICC or an SM-DP+ of it: without -test-ci the program does not start with it.
//
// Orders, and what the eIM knows of eUICCs, are kept in an SQLite file,
// DATA/orders.db, or as -store says. Sessions of devices are not: a device that is
// interrupted begins again. Do not go back to an older copy: eUICCs refuse packages
// whose counters they have seen.
//
// # The eIM
//
// An order that is released waits for its device at the eIM too, unless it needs a
// confirmation code, which nobody there could enter. Who downloads it by its
// activation code takes it from there. Devices without a way to the SM-DP+ may
// download through the eIM, from this SM-DP+ only. "mno euicc" makes cards that
// obey this eIM; its name, -eim-fqdn, is in them for good. ESipa does not
// authenticate who asks: whoever knows an EID is told what waits for it, so that
// orders should name the EID, as all do that reach the eIM.
//
// Send it SIGTERM or SIGINT to end it. Exit status 0 means that it ended so, 1
// that something failed, 2 wrong usage.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// usageError is a mistake on the command line: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// flags are what the command line says.
type flags struct {
	data, store, certs, fqdn, es2, es9, clientCA string
	esipa, eimFQDN                               string
	progress, progressCA                         string
	orders                                       string
	testCI, json                                 bool
	logFormat, logLevel                          string
	eid, out                                     string // of euicc
	args                                         []string
}

func (f *flags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.data, "data", "mno-data", "`folder` for what the program keeps; made with mode 0700")
	fs.StringVar(&f.store, "store", "", "SQLite `file` of the orders and the eIM, or a DSN that begins with postgres://; empty for DATA/orders.db")
	fs.StringVar(&f.certs, "certs", "", "`folder` with certificates and keys; empty for DATA/certs")
	fs.StringVar(&f.fqdn, "fqdn", "smdp.example", "`name` of the SM-DP+, which activation codes hold and devices look for; with :port in test networks where ES9+ is not on 443")
	fs.StringVar(&f.es2, "es2", "127.0.0.1:8445", "`address` of ES2+, for registries")
	fs.StringVar(&f.es9, "es9", "127.0.0.1:8444", "`address` of ES9+, for devices")
	fs.StringVar(&f.esipa, "esipa", "127.0.0.1:8446", "`address` of ESipa, where the eIM is for devices; empty for no eIM")
	fs.StringVar(&f.eimFQDN, "eim-fqdn", "eim.example", "`name` of the eIM, which eUICCs know it by and devices look for; with :port in test networks where ESipa is not on 443")
	fs.StringVar(&f.clientCA, "es2-client-ca", "", "PEM `file` with the CAs of ES2+ client certificates; empty for tls-ca.pem of the certificates' folder")
	fs.StringVar(&f.progress, "progress", "", "base `URL` of the registry, to be told over ES2+ what becomes of its orders; empty for not at all")
	fs.StringVar(&f.progressCA, "progress-ca", "", "PEM `file` with the CA of that registry's server; empty for the system's")
	fs.StringVar(&f.orders, "orders", "", "JSON `file` with orders to make at the start, for tests; their activation codes are printed")
	fs.BoolVar(&f.testCI, "test-ci", false, "allow certificates of GSMA's public test CI (SGP.26), of which everybody has the keys")
	fs.BoolVar(&f.json, "json", false, "print the line that says where everything is as JSON")
	fs.StringVar(&f.logFormat, "log-format", "text", "`format` of the log on standard error: text or json")
	fs.StringVar(&f.logLevel, "log-level", "info", "least `level` that is logged: debug, info, warn or error")
	fs.StringVar(&f.eid, "eid", "", "`EID` of euicc; empty for a random one within the EUM's range")
	fs.StringVar(&f.out, "out", "", "`file` for what euicc makes; empty for EID.json")
}

const usageText = `Usage: mno [flags] [euicc]

Runs a mobile operator's SM-DP+ and eIM: ES2+ for registries that order, ES9+ for
devices that download, ESipa for devices that ask what to do. The first start
makes a private PKI in the certificates' folder; its file names are in the
program's documentation (go doc ./examples/mno).

  euicc   make the identity of an eUICC with the folder's EUM: one file with its
          private keys, for examples/device

Flags:
`

func parseFlags(args []string, stdout io.Writer) (*flags, error) {
	f := &flags{}
	fs := flag.NewFlagSet("mno", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f.register(fs)
	for { // flags may stand after the word too
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
		fmt.Fprintf(stderr, "mno: %v; mno -h shows the flags\n", err)
		return 2
	}
	if err := f.do(ctx, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "mno: %v\n", err)
		if errors.As(err, new(usageError)) {
			return 2
		}
		return 1
	}
	return 0
}

func (f *flags) do(ctx context.Context, stdout, stderr io.Writer) error {
	making := len(f.args) == 1 && f.args[0] == "euicc"
	if len(f.args) > 0 && !making {
		return usagef("unexpected argument %q; mno -h shows what there is", f.args[len(f.args)-1])
	}
	if err := f.check(making); err != nil {
		return usageError{err}
	}
	log, err := f.logger(stderr)
	if err != nil {
		return err
	}
	if making {
		return f.makeEUICC(ctx, stdout, log)
	}
	s, err := f.open(ctx, log)
	if err != nil {
		return err
	}
	return s.serve(ctx, stdout)
}

// check refuses what cannot work, before anything is made.
func (f *flags) check(making bool) error {
	f.certs = cmp.Or(f.certs, filepath.Join(f.data, "certs"))
	for name, addr := range map[string]string{"-es2": f.es2, "-es9": f.es9, "-esipa": cmp.Or(f.esipa, ":")} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("%s: %q is no host:port", name, addr)
		}
	}
	u, err := url.Parse(f.progress)
	switch {
	case f.data == "":
		return errors.New("-data must name a folder")
	case f.fqdn == "":
		return errors.New("-fqdn must name the SM-DP+")
	case f.esipa != "" && f.eimFQDN == "":
		return errors.New("-eim-fqdn must name the eIM; an empty -esipa is for having none")
	case f.progress != "" && (err != nil || u.Scheme != "https" || u.Host == ""):
		return errors.New("-progress must be an https URL")
	case f.progressCA != "" && f.progress == "":
		return errors.New("-progress-ca is of use with -progress only")
	case !making && (f.eid != "" || f.out != ""):
		return errors.New("-eid and -out are flags of mno euicc")
	}
	return nil
}

// hosts are the names that the certificates of a new PKI are for.
func (f *flags) hosts() hosts {
	if f.esipa == "" {
		return hosts{smdp: f.fqdn}
	}
	return hosts{f.fqdn, f.eimFQDN}
}

// logger makes the program's log.
func (f *flags) logger(w io.Writer) (*slog.Logger, error) {
	var opts slog.HandlerOptions
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, usagef("-log-level must be debug, info, warn or error")
	}
	opts.Level = level
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, &opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &opts)), nil
	}
	return nil, usagef("-log-format must be text or json")
}
