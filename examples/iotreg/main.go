// Command iotreg is the command line of the Secure IoT Registry for owners,
// application service providers and operators. Its DNS commands work against
// any signed zone:
//
//	iotreg verify HOST:PORT          does the service's certificate match its TLSA records?
//	iotreg verify-device NAME CERT   does a device's certificate match what the registry publishes?
//	iotreg lint NAME                 which of the usual mistakes do the records show, and what mends them?
//	iotreg trace NAME [TYPE]         how is a record proved, from the root down?
//
// Exit status: 0 verified (secure), 1 not, and the output says why, 2 wrong
// usage. With -json the output is one object.
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
	"strings"
	"unicode"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command is one word after iotreg.
type command struct {
	name, args, short string
	long              string // what -h tells beyond short, with examples
	min, max          int    // number of arguments
	// setup registers the command's own flags and returns what to do.
	setup func(*flag.FlagSet) action
}

// action does a command's work. An error means that there is no report at all.
type action func(ctx context.Context, s *session, args []string) (report, error)

// report is the outcome of a command: JSON, or text for people.
type report interface {
	text(io.Writer)
	ok() bool // exit status 0
}

func commands() []command {
	return []command{verifyCommand(), verifyDeviceCommand(), lintCommand(), traceCommand()}
}

// usageError is a mistake on the command line: exit status 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

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
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "iotreg: no command %q; iotreg -h lists them\n", args[0])
	return 2
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Usage: iotreg COMMAND [flags] ARGUMENTS\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-28s %s\n", c.name+" "+c.args, c.short)
	}
	fmt.Fprint(w, "\niotreg COMMAND -h shows its flags and examples.\n"+
		"Exit status: 0 verified or secure, 1 not (the output says why), 2 wrong usage.\n")
}

func (c command) run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	do := c.setup(fs)
	o.register(fs)
	args, err := parse(fs, args)
	if errors.Is(err, flag.ErrHelp) {
		c.help(fs, stdout)
		return 0
	}
	if err == nil && (len(args) < c.min || len(args) > c.max) {
		err = fmt.Errorf("want %s", c.args)
	}
	if err != nil {
		fmt.Fprintf(stderr, "iotreg %s: %v; iotreg %s -h shows how\n", c.name, err, c.name)
		return 2
	}
	return c.act(ctx, do, o, args, stdout, stderr)
}

func (c command) act(ctx context.Context, do action, o options, args []string, stdout, stderr io.Writer) int {
	complain := func(err error) int {
		fmt.Fprintf(stderr, "iotreg %s: %v\n", c.name, err)
		if errors.As(err, new(usageError)) {
			return 2
		}
		return 1
	}
	s, err := o.open()
	if err != nil {
		return complain(err)
	}
	defer s.close()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	rep, err := do(ctx, s, args)
	if err != nil {
		return complain(err)
	}
	if o.json {
		err = json.NewEncoder(stdout).Encode(rep)
	} else {
		var text strings.Builder
		rep.text(&text)
		_, err = io.WriteString(stdout, clean(text.String()))
	}
	switch {
	case err != nil:
		return complain(err)
	case !rep.ok():
		return 1
	}
	return 0
}

// clean makes text safe for a terminal: names and reasons come from strangers
// and must not move the cursor.
func clean(text string) string {
	return strings.Map(func(c rune) rune {
		if c != '\n' && unicode.In(c, unicode.Cc, unicode.Bidi_Control) {
			return '?'
		}
		return c
	}, text)
}

func (c command) help(fs *flag.FlagSet, w io.Writer) {
	fmt.Fprintf(w, "Usage: iotreg %s [flags] %s\n\n%s.\n\n%s\n\nFlags:\n", c.name, c.args, c.short, strings.TrimSpace(c.long))
	fs.SetOutput(w)
	fs.PrintDefaults()
	fs.SetOutput(io.Discard)
}

// parse reads flags before, between and after the arguments, which it returns.
func parse(fs *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}
