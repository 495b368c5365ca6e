// Command device is a device with a simulated eUICC: it downloads an operator's
// profiles from an SM-DP+ over ES9+, manages them, and opens the IoT profiles of a
// registry that are in them.
//
//	go run ./examples/mno euicc -out card.json       makes the eUICC
//	go run ./examples/device download -card card.json 'LPA:1$smdp.example$MATCHING-ID'
//	go run ./examples/device profiles -card card.json
//	go run ./examples/device -h                      all commands and flags
//
// What changes on the eUICC is kept in FILE.state beside the card's FILE, of mode
// 0600 too, and is there before the answer that tells of it. One process at a time
// uses a card: one that finds that another has changed it changes nothing. An older state put back would undo the card's guard against
// profiles that are played again.
//
// A card that mno euicc has made obeys an eIM (GSMA SGP.32): "device poll" asks it
// what there is to do, does it, and tells what came of it, so that an order reaches
// the device and is enabled with nobody typing an activation code. With -every it
// goes on until a signal ends it; what fails then goes to standard error, and is
// tried again. -indirect takes downloads and notifications through the eIM.
//
// TLS of the SM-DP+ and the eIM is always verified: by the card's own CIs, as SGP.22 section
// 2.6.6 has it, by the system's roots, and by those of -ca.
//
// The IoT profile in an operator's profile is sealed for the card. It is opened
// when -registry names the registry it must be of and -registry-ca has its root
// certificate; without them it is left alone, for good: what was not opened at the
// download is not there later. Once one was opened, both are needed again with
// each call.
//
// "device lpac" is the eUICC alone, for lpac or another LPA that speaks its
// protocol: it reads lines of JSON on standard input and answers on standard
// output, APDUs only. Join both ways:
//
//	mkfifo answers
//	LPAC_APDU=stdio LPAC_HTTP=curl lpac chip info <answers | device lpac -card card.json >answers
//
// What lpac says of its work goes to standard error then.
//
// "device run" is what a device does all its life: it takes the profile from its
// card, has the DNS confirm it, connects to the provider that it names and moves when
// there is another profile. The card is the simulated one, with an IoT SAFE applet
// beside its eUICC (state in FILE.applet), or a real one behind a modem or in a
// reader. "device modem" plays a modem with such a card, "device selftest" tries one.
//
// Exit status 0 is success, 1 a failure, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/iotregistry/sdk/profile"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it where it stands: nothing wakes who reads standard input
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// usageError is a mistake on the command line: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// flags are what the command line says.
type flags struct {
	card, smdp, ca, code string
	registry, registryCA string
	eim                  string
	every                time.Duration
	indirect             bool
	json                 bool
	args                 []string

	use func(*profile.Profile) // takes the profiles that the card opens; nil: nobody does
}

func (f *flags) register(fs *flag.FlagSet) {
	fs.StringVar(&f.card, "card", "card.json", "the card's `file`, from mno euicc; what changes is kept in FILE.state")
	fs.StringVar(&f.smdp, "smdp-address", "", "connect to this `host:port`, whatever the SM-DP+'s name is; TLS is verified for the name")
	fs.StringVar(&f.ca, "ca", "", "PEM `file` with more roots for TLS of SM-DP+s and the eIM")
	fs.StringVar(&f.code, "code", "", "confirmation `code` of download")
	fs.StringVar(&f.eim, "eim-address", "", "connect to this `host:port`, whatever the eIM's name is; TLS is verified for the name")
	fs.DurationVar(&f.every, "every", 0, "let poll go on, with this `time` between two questions to the eIM; 0 for once")
	fs.BoolVar(&f.indirect, "indirect", false, "let poll reach SM-DP+s through the eIM only")
	fs.StringVar(&f.registry, "registry", "", "`zone` of the registry whose IoT profiles the card opens")
	fs.StringVar(&f.registryCA, "registry-ca", "", "PEM `file` with that registry's root certificate")
	fs.BoolVar(&f.json, "json", false, "print results as JSON")
}

const usageText = `Usage: device COMMAND [flags]

A device with a simulated eUICC, whose card mno euicc makes.

  info                       EID, addresses, public key
  download [ACTIVATION-CODE] download a profile from an SM-DP+ and install it; without
                             a code, what the default SM-DP+ has for this eUICC
  profiles                   list what is installed
  enable ICCID               put a profile into use
  disable [ICCID]            take it out of use
  delete ICCID               remove a disabled profile
  poll                       ask the eIM what there is to do, do it, and tell it
  notifications              tell the SM-DP+s what happened to their profiles
  lpac                       be lpac's card: APDUs on standard input and output

These have flags of their own; device COMMAND -h shows them.

  run                        be the device: verify, connect, stay connected
  modem                      be a modem with a simulated card, on a pseudo-terminal
  selftest                   say what a card can do, and whether it does it well

Flags:
`

func parseFlags(args []string, stdout io.Writer) (*flags, error) {
	f := &flags{}
	fs := flag.NewFlagSet("device", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f.register(fs)
	for { // flags may stand after the words too
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				printUsage(fs, stdout)
			}
			return nil, err
		}
		if fs.NArg() == 0 {
			return f, nil
		}
		f.args, args = append(f.args, fs.Arg(0)), fs.Args()[1:]
	}
}

func printUsage(fs *flag.FlagSet, w io.Writer) {
	fmt.Fprint(w, usageText)
	fs.SetOutput(w)
	fs.PrintDefaults()
}

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	for _, p := range parts() {
		if len(args) > 0 && args[0] == p.name {
			return p.run(ctx, args[1:], &world{stdin: stdin, stdout: stdout, stderr: stderr})
		}
	}
	f, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "device: %v; device -h shows the flags\n", err)
		return 2
	}
	if len(f.args) == 0 {
		fmt.Fprint(stderr, usageText, "  device -h shows them\n")
		return 2
	}
	if err := f.do(ctx, stdin, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "device: %v\n", err)
		if errors.As(err, new(usageError)) {
			return 2
		}
		return 1
	}
	return 0
}

// command is what a word stands for.
type command struct {
	least, most int // arguments
	run         func(*device, context.Context, []string) error
}

func commands() map[string]command {
	return map[string]command{
		"info":          {0, 0, (*device).info},
		"download":      {0, 1, (*device).download},
		"profiles":      {0, 0, (*device).profiles},
		"enable":        {1, 1, (*device).enable},
		"disable":       {0, 1, (*device).disable},
		"delete":        {1, 1, (*device).remove},
		"notifications": {0, 0, (*device).notifications},
		"poll":          {0, 0, (*device).poll},
		"lpac":          {0, 0, (*device).lpac},
	}
}

func (f *flags) do(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	name, args := f.args[0], f.args[1:]
	c, ok := commands()[name]
	switch {
	case !ok:
		return usagef("no command %q; device -h shows what there is", name)
	case len(args) < c.least || len(args) > c.most:
		return usagef("%s takes other arguments; device -h shows which", name)
	}
	if err := f.check(); err != nil {
		return usageError{err}
	}
	if name != "poll" && (f.eim != "" || f.every != 0 || f.indirect) {
		return usagef("-eim-address, -every and -indirect are flags of poll")
	}
	d, err := f.open()
	if err != nil {
		return err
	}
	d.stdin, d.stdout, d.stderr = stdin, stdout, stderr
	return c.run(d, ctx, args)
}

func (f *flags) check() error {
	if (f.registry == "") != (f.registryCA == "") {
		return errors.New("-registry and -registry-ca belong together")
	}
	if strings.HasSuffix(f.registry, ".") {
		return errors.New("-registry is a domain name without a final dot")
	}
	for name, address := range map[string]string{"-smdp-address": f.smdp, "-eim-address": f.eim} {
		if _, _, err := net.SplitHostPort(address); address != "" && err != nil {
			return fmt.Errorf("%s: %q is no host:port", name, address)
		}
	}
	if f.every < 0 {
		return errors.New("-every is a time between two questions")
	}
	return nil
}
