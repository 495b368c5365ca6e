// Command iotreg is the command line of the Secure IoT Registry for owners,
// application service providers, operators, makers and auditors.
//
// Its DNS commands work against any signed zone:
//
//	iotreg verify HOST:PORT          does the service's certificate match its TLSA records?
//	iotreg verify-device NAME CERT   does a device's certificate match what the registry publishes?
//	iotreg lint NAME                 which of the usual mistakes do the records show, and what mends them?
//	iotreg trace NAME [TYPE]         how is a record proved, from the root down?
//
// All others call a registry over its API, as in
//
//	iotreg import meters.csv -owner ottawa -mno telco -registry https://127.0.0.1:8443 -token-file parkoserv.token
//
// but "audit verify", which needs an export and a public key and nobody else.
//
// Exit status: 0 verified or done, 1 not, and the output says why, 2 wrong
// usage. With -json the output is one object.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
	"unicode"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// program is what surrounds a run.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	configDir      func() (string, error) // of the user
	now            func() time.Time
}

// command is one or two words after iotreg.
type command struct {
	name, args, short string
	long              string // what -h tells beyond short, with examples
	min, max          int    // number of arguments; max below 0: any
	peer              peer
	// setup registers the command's own flags and returns what to do.
	setup func(*flag.FlagSet) action
}

// peer is whom a command talks to.
type peer int

const (
	dnsPeer peer = iota
	apiPeer
	nobody
)

// action does a command's work. An error means that there is no report at all.
type action func(ctx context.Context, s *session, args []string) (report, error)

// report is the outcome of a command: JSON, or text for people.
type report interface {
	text(io.Writer)
	ok() bool // exit status 0
}

// section is a part of the list of commands.
type section struct {
	title    string
	commands []command
}

func sections() []section {
	return []section{
		{"What DNS proves", []command{verifyCommand(), verifyDeviceCommand(), lintCommand(), traceCommand()}},
		{"Devices", deviceCommands()},
		{"Fleets, by a job", bulkCommands()},
		{"Transfers", transferCommands()},
		{"Jobs and messages", jobCommands()},
		{"Accounts", accountCommands()},
		{"Audit trail", auditCommands()},
	}
}

// usageError is a mistake on the command line: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run is the program in its usual surroundings; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := program{stdin: os.Stdin, stdout: stdout, stderr: stderr, getenv: os.Getenv, configDir: os.UserConfigDir, now: time.Now}
	return p.run(ctx, args)
}

func (p program) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		usage(p.stderr)
		return 2
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		usage(p.stdout)
		return 0
	}
	c, rest, err := find(args)
	if err != nil {
		fmt.Fprintf(p.stderr, "iotreg: %v; iotreg -h lists them\n", err)
		return 2
	}
	return c.run(ctx, p, rest)
}

// find takes the command's words off args: two before one.
func find(args []string) (c command, rest []string, err error) {
	group := false
	for _, s := range sections() {
		for _, known := range s.commands {
			first, second, two := strings.Cut(known.name, " ")
			switch {
			case first != args[0]:
			case two && len(args) > 1 && args[1] == second:
				return known, args[2:], nil
			case two:
				group = true
			default:
				c, rest = known, args[1:]
			}
		}
	}
	switch {
	case c.name != "":
		return c, rest, nil
	case group && len(args) > 1:
		return c, nil, fmt.Errorf("no command %q", args[0]+" "+args[1])
	case group:
		return c, nil, fmt.Errorf("%q needs one more word", args[0])
	}
	return c, nil, fmt.Errorf("no command %q", args[0])
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Usage: iotreg COMMAND [flags] ARGUMENTS\n")
	for _, s := range sections() {
		fmt.Fprintf(w, "\n%s:\n", s.title)
		for _, c := range s.commands {
			fmt.Fprintf(w, "  %-28s %s\n", strings.TrimSpace(c.name+" "+c.args), c.short)
		}
	}
	fmt.Fprint(w, "\niotreg COMMAND -h shows its flags and examples.\n"+
		"Exit status: 0 verified or done, 1 not (the output says why), 2 wrong usage.\n")
}

func (c command) run(ctx context.Context, p program, args []string) int {
	var o options
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	do := c.setup(fs)
	o.register(fs, c.peer)
	args, err := parse(fs, args)
	if errors.Is(err, flag.ErrHelp) {
		c.help(fs, p.stdout)
		return 0
	}
	if err == nil && (len(args) < c.min || c.max >= 0 && len(args) > c.max) {
		err = errors.New("want " + cmp.Or(c.args, "no arguments"))
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "iotreg %s: %v; iotreg %s -h shows how\n", c.name, err, c.name)
		return 2
	}
	return c.act(ctx, p, do, o, args)
}

func (c command) act(ctx context.Context, p program, do action, o options, args []string) int {
	complain := func(err error) int {
		fmt.Fprintf(p.stderr, "iotreg %s: %s\n", c.name, clean(err.Error()))
		if errors.As(err, new(usageError)) {
			return 2
		}
		return 1
	}
	s, err := o.open(p, c)
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
		err = json.NewEncoder(p.stdout).Encode(rep)
	} else {
		var text strings.Builder
		rep.text(&text)
		_, err = io.WriteString(p.stdout, clean(text.String()))
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
	fmt.Fprintf(w, "Usage: iotreg %s\n\n%s.\n\n%s\n\nFlags:\n", strings.TrimSpace(c.name+" [flags] "+c.args), c.short, strings.Trim(c.long, "\n"))
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
