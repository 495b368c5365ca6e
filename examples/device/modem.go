package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/profile/iotsafe/atcsim"
)

// modemFlags are those of device modem.
type modemFlags struct {
	flags
	quirks applet.Quirks
	opts   atcsim.ServeOptions
}

func modemCommand() part {
	return part{
		name: "modem", short: "be a modem with a simulated card, on a pseudo-terminal",
		help: `Opens a pseudo-terminal, prints its path as the first line, and answers there as
a modem does: AT, ATE0, ATE1, ATI, AT+CGSN and AT+CSIM. In it is a simulated card
with an IoT SAFE applet and an eUICC's ISD-R, each on the logical channel that it
was selected on. Without -card both are made up: the applet has a key, a
certificate and CIRA's containers of a registry that does not exist.

  device modem &
  device selftest -at /dev/pts/7`,
		setup: func(fs *flag.FlagSet) func(context.Context, *world) error {
			f := &modemFlags{}
			f.registerCard(fs)
			quirksFlag(fs, &f.quirks)
			o := &f.opts
			fs.StringVar(&o.Model, "model", "", "`text` that ATI answers")
			fs.StringVar(&o.Serial, "serial", "", "`digits` that AT+CGSN answers")
			fs.BoolVar(&o.NoEcho, "no-echo", false, "no echo before ATE1")
			fs.BoolVar(&o.Mute, "mute", false, "no echo, whatever ATE1 says")
			fs.BoolVar(&o.Late, "late", false, "answers come after their OK")
			fs.BoolVar(&o.Repeat, "repeat", false, "answers come twice")
			fs.BoolVar(&o.RepeatAll, "repeat-all", false, "answers come twice with their OK")
			fs.IntVar(&o.Cut, "cut", 0, "answers are cut after so many `characters`; 0: never")
			fs.BoolVar(&o.Unquoted, "unquoted", false, "no quotation marks")
			fs.BoolVar(&o.Uncounted, "uncounted", false, "no count")
			fs.StringVar(&o.Unsolicited, "unsolicited", "", "a `line` that comes before each answer")
			fs.DurationVar(&o.Delay, "delay", 0, "`time` that the card takes for each answer")
			return f.run
		},
	}
}

// registerCard adds the flags of a simulated card.
func (f *flags) registerCard(fs *flag.FlagSet) {
	fs.StringVar(&f.card, "card", "", "the card's `file`, from mno euicc; what changes is kept in FILE.state and FILE.applet")
	fs.StringVar(&f.registry, "registry", "", "`zone` of the registry whose profiles count")
	fs.StringVar(&f.registryCA, "registry-ca", "", "PEM `file` with that registry's root certificate, for the eUICC of -card")
}

func (f *modemFlags) run(ctx context.Context, w *world) error {
	if err := f.checkModem(); err != nil {
		return usageError{err}
	}
	card, err := f.insert(w)
	if err != nil {
		return err
	}
	f.opts.Sleep = w.pause
	pty, err := atcsim.OpenPTY()
	if err != nil {
		return err
	}
	defer pty.Close()
	if _, err := fmt.Fprintln(w.stdout, pty.Path); err != nil {
		return err
	}
	err = atcsim.Serve(ctx, pty, card, f.opts)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (f *modemFlags) checkModem() error {
	if f.card == "" && (f.registry != "" || f.registryCA != "") {
		return errors.New("-registry and -registry-ca are about a -card")
	}
	if f.opts.Cut < 0 || f.opts.Delay < 0 {
		return errors.New("-cut and -delay are not below zero")
	}
	return f.check()
}

func (f *modemFlags) insert(w *world) (*uicc, error) {
	if f.card == "" {
		return newDemo(f.quirks, w.clock()())
	}
	s, err := f.openSIM(f.quirks, func() {}, func(err error) { w.warnf("%v", err) })
	if err != nil {
		return nil, err
	}
	return s.uicc, nil
}

func (w *world) clock() func() time.Time {
	if w.now != nil {
		return w.now
	}
	return time.Now
}
