// Command asp is the cloud of a provider: a server for devices over MQTT 5 and
// HTTPS that admits who the DNS vouches for, and nobody else. There are no
// passwords, no list of devices and no CA: a device's certificate names it, and
// must be the one that the registry publishes there as CERT or TLSA, proved by
// DNSSEC from the root.
//
//	go run ./examples/asp -host parkoserv.ca -zones iotregistry.ca
//
// Devices from other zones are refused before anything is looked up. All zones of
// -zones are trusted with all device IDs: list registries, not customers.
//
// # How long a device stays
//
// A connected device is looked up again when its answer has run out: after the
// records' TTL, or after -recheck where that is shorter. If the DNS proves that the
// certificate is withdrawn, or that another one is published, the device is dropped:
// over MQTT with DISCONNECT 0x98 (administrative action). If nothing can be learned,
// by SERVFAIL, a time-out, a bogus or an insecure answer, it stays for -grace and is
// then dropped too. New connections get no grace.
//
// # MQTT
//
// MQTT 5 over mutual TLS 1.3. The client identifier is the device's ID or name, or
// empty. A device publishes below devices/<deviceID>/ and subscribes to
// commands/<deviceID>/#, and that is all: no retained messages, no topic aliases, no
// QoS 2, no session that outlives its connection, and a will only below
// devices/<deviceID>/. A device that connects again ends its former connection.
//
// # HTTPS
//
// HTTP/1.1 over mutual TLS 1.3, on at most 4 connections of one device:
//
//	PUT  /status?is=Free   what a parking meter has to say
//	POST /telemetry        JSON, at most 16 KiB
//	GET  /commands?wait=30 commands as a JSON array of strings, each given out once;
//	                       204 if none came
//
// # Operators
//
// The server of -status is for people and programs on this machine: it knows no
// passwords either, so it listens on loopback only.
//
//	GET  /                        the connected devices as a page
//	GET  /devices.json            the same as JSON
//	POST /devices/{id}/commands   the body, a text of at most 4 KiB, to a device: by
//	                              MQTT where it has subscribed, else by GET /commands
//	                              within an hour
//
// With -registry, devices that come are confirmed at the registry, which lets it
// withdraw the profiles they had before: those of the first of -zones, which is its.
//
// Send it SIGTERM or SIGINT to end it. Exit status 0 means that it ended so, 1
// that something failed, 2 wrong usage.
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
	"time"
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
	https, mqtt, status string
	host                string
	port                uint
	tlsCert, tlsKey     string
	zones, dns, anchor  string
	registry, token, ca string
	recheck, grace      time.Duration
	max                 int
	data                string
	json                bool
	logFormat, logLevel string
}

func (f *flags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.https, "https", "127.0.0.1:8450", "`address` of HTTPS for devices; empty for none")
	fs.StringVar(&f.mqtt, "mqtt", "127.0.0.1:8883", "`address` of MQTT over TLS for devices; empty for none")
	fs.StringVar(&f.status, "status", "127.0.0.1:8082", "loopback `address` of the page with the connected devices, over plain HTTP; empty for none")
	fs.StringVar(&f.host, "host", "", "`name` of this service, by which devices find it; required")
	fs.UintVar(&f.port, "port", 0, "`port` that devices connect to and TLSA names; 0 for those listened on")
	fs.StringVar(&f.tlsCert, "tls-cert", "", "PEM `file` with the service's certificate, leaf first; empty for one that is made for DATA/tls.key")
	fs.StringVar(&f.tlsKey, "tls-key", "", "PEM `file` with its key")
	fs.StringVar(&f.zones, "zones", "", "DNS `zones` of the registries whose devices are admitted, separated by commas; required")
	fs.StringVar(&f.dns, "dns", "", "ask these DNS `servers`, in order: HOST[:PORT], tcp:// or tls://HOST[:PORT], separated by commas; empty for the system's")
	fs.StringVar(&f.anchor, "anchor", "", "trust the anchors in this `file`: DS or DNSKEY records, or XML of RFC 9718; empty for the IANA root anchors")
	fs.StringVar(&f.registry, "registry", "", "`URL` of the registry of the first of -zones, at which its devices that connect are confirmed; empty for not at all")
	fs.StringVar(&f.token, "token-file", "", "`file` with the token for that registry")
	fs.StringVar(&f.ca, "ca", "", "PEM `file` with the CA of that registry; empty for the system's")
	fs.DurationVar(&f.recheck, "recheck", time.Hour, "longest `time` between two look-ups of a connected device; the TTL of its records where that is shorter")
	fs.DurationVar(&f.grace, "grace", 15*time.Minute, "`time` that a connected device stays when it cannot be looked up")
	fs.IntVar(&f.max, "max", 10_000, "most `connections` of devices")
	fs.StringVar(&f.data, "data", "asp-data", "`folder` for the key and certificate; made with mode 0700")
	fs.BoolVar(&f.json, "json", false, "print the line that says where everything is as JSON")
	fs.StringVar(&f.logFormat, "log-format", "text", "`format` of the log on standard error: text or json")
	fs.StringVar(&f.logLevel, "log-level", "info", "least `level` that is logged: debug, info, warn or error")
}

const usageText = `Usage: asp -host NAME -zones ZONE[,ZONE...] [flags]

Runs a provider's cloud: MQTT 5 and HTTPS for devices whose certificates the
registry publishes in the DNS. The first start makes a key and prints the TLSA
records to publish, so that devices know the service in turn.

Flags:
`

func parseFlags(args []string, stdout io.Writer) (*flags, error) {
	f := &flags{}
	fs := flag.NewFlagSet("asp", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f.register(fs)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, usageText)
			fs.SetOutput(stdout)
			fs.PrintDefaults()
		}
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return f, nil
}

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "asp: %v; asp -h shows the flags\n", err)
		return 2
	}
	if err := f.do(ctx, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "asp: %v\n", err)
		if errors.As(err, new(usageError)) {
			return 2
		}
		return 1
	}
	return 0
}

func (f *flags) do(ctx context.Context, stdout, stderr io.Writer) error {
	cfg, err := f.settings()
	if err != nil {
		return usageError{err}
	}
	log, err := f.logger(stderr)
	if err != nil {
		return err
	}
	s, err := open(ctx, cfg, log)
	if err != nil {
		return err
	}
	return s.serve(ctx, stdout)
}
