package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/profile/iotsafe/atcsim"
	"github.com/iotregistry/sdk/profile/iotsafe/pcsc"
)

// world is what a program has around it. The zero value of each func is the real
// thing.
type world struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	now       func() time.Time
	built     time.Time // what the clock cannot be before; zero: as the binary says
	sleep     func(ctx context.Context, d time.Duration) error
	exchanger dnssec.Exchanger // nil: -dns
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
}

// warnf says something on standard error.
func (w *world) warnf(format string, args ...any) {
	fmt.Fprintf(w.stderr, "device: %s\n", shown(fmt.Sprintf(format, args...)))
}

func (w *world) pause(ctx context.Context, d time.Duration) error {
	if w.sleep != nil {
		return w.sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// part is a command with flags of its own.
type part struct {
	name, short, help string
	setup             func(fs *flag.FlagSet) func(ctx context.Context, w *world) error
}

func parts() []part { return []part{liveCommand(), modemCommand(), selftestCommand()} }

// run is the command; it returns the exit status.
func (p *part) run(ctx context.Context, args []string, w *world) int {
	fs := flag.NewFlagSet("device "+p.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	do := p.setup(fs)
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(w.stdout, "Usage: device %s [flags]\n\n%s\n\nFlags:\n", p.name, p.help)
		fs.SetOutput(w.stdout)
		fs.PrintDefaults()
		return 0
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err != nil {
		err = usageError{err}
	} else {
		err = do(ctx, w)
	}
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(usageError)):
		w.warnf("%s: %v; device %s -h shows the flags", p.name, err, p.name)
		return 2
	}
	w.warnf("%s: %v", p.name, err)
	return 1
}

// reach says how a real card is reached.
type reach struct {
	at   string
	baud int
	pcsc reader
}

func (r *reach) register(fs *flag.FlagSet) {
	fs.StringVar(&r.at, "at", "", "a modem's serial `port`, or the terminal of device modem: the card is reached by AT+CSIM")
	fs.IntVar(&r.baud, "baud", 115200, "`speed` of that port")
	fs.Var(&r.pcsc, "pcsc", "a smart card reader, by pcscd: -pcsc for the first one with a card, -pcsc=`NAME` for another")
}

// set reports whether a card was named.
func (r *reach) set() bool { return r.at != "" || r.pcsc.on }

func (r *reach) check() error {
	if r.at != "" && r.pcsc.on {
		return errors.New("-at and -pcsc are two ways to a card: give one")
	}
	return nil
}

// reader is a flag with or without a value.
type reader struct {
	on   bool
	name string
}

func (r *reader) String() string   { return r.name }
func (r *reader) IsBoolFlag() bool { return true }

func (r *reader) Set(s string) error {
	switch s {
	case "true":
		*r = reader{on: true}
	case "false":
		*r = reader{}
	default:
		*r = reader{true, s}
	}
	return nil
}

// open reaches the card.
func (r *reach) open(ctx context.Context) (iotsafe.Transport, io.Closer, error) {
	if r.pcsc.on {
		card, err := pcsc.Open(ctx, pcsc.Options{Reader: r.pcsc.name})
		if err != nil {
			return nil, nil, err
		}
		return card, card, nil
	}
	port, err := atcsim.OpenSerial(r.at, r.baud)
	if err != nil {
		return nil, nil, err
	}
	client := atcsim.NewClient(port, atcsim.Options{})
	return client, client, nil
}

// nothing is closed where nothing was opened.
type nothing struct{}

func (nothing) Close() error { return nil }

// cards are the kinds of applets that can be simulated.
func cards() map[string]func() applet.Quirks {
	return map[string]func() applet.Quirks{
		"standard": applet.StandardCard, "cira": applet.CIRACard, "thales": applet.ThalesCard,
		"wolfssl": applet.WolfSSLCard, "zariot": applet.ZariotCard,
	}
}

func quirksFlag(fs *flag.FlagSet, to *applet.Quirks) {
	fs.Func("quirks", "the applet is as one of these `cards` in use: standard, cira, thales, wolfssl or zariot (default standard)", func(s string) error {
		kind, ok := cards()[strings.ToLower(s)]
		if !ok {
			return errors.New("no such card; there are standard, cira, thales, wolfssl and zariot")
		}
		*to = kind()
		return nil
	})
}
