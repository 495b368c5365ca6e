// Command ottawa runs the whole story in one process: a city buys parking meters, a
// provider registers them, the registry issues their profiles, the operator
// delivers them, the meters connect; then another provider takes over and the
// meters move. All parts are real, all sockets are on loopback, and nobody
// touches a device.
//
//	go run ./examples/ottawa
//	go run ./examples/ottawa -devices 25
//	go run ./examples/ottawa -csv meters.csv -json
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
	"runtime/debug"
	"runtime/pprof"

	"github.com/iotregistry/sdk/examples/internal/term"
)

func main() {
	// A thousand devices in one process make much garbage and keep little: trade
	// some memory for time, up to a bound.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(1 << 30)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: 0 when every proof held, 1 when one did not, 2 for a
// wrong command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "ottawa:", err)
		return 2
	}
	out := &term.Reporter{W: stdout}
	if opts.json {
		out.W = stderr // the report is all that goes to standard output
	}
	stop, err := profileCPU(opts.profile)
	if err != nil {
		fmt.Fprintln(stderr, "ottawa:", err)
		return 1
	}
	defer stop()
	report, err := tell(ctx, opts, out)
	if report != nil && opts.json {
		if e := json.NewEncoder(stdout).Encode(report); err == nil {
			err = e
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, "ottawa:", err)
		return 1
	}
	if !report.OK {
		return 1
	}
	return 0
}

type options struct {
	devices int
	csv     string
	data    string
	json    bool
	hold    bool
	profile string
	card    string
	tpm     string
}

// profileCPU writes a CPU profile to file until stop is called.
func profileCPU(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("ottawa", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&o.devices, "devices", 1000, "number of parking meters: the deck's five, then generated ones")
	fs.StringVar(&o.csv, "csv", "", "read the meters from this `file` (Device ID,Model,Version and optionally Public Key,MNO)")
	fs.StringVar(&o.data, "data", "", "empty `folder` to keep the registry's database and keys in (default: a temporary one)")
	fs.BoolVar(&o.json, "json", false, "print a JSON report as the last line, and the story on standard error")
	fs.BoolVar(&o.hold, "hold", false, "keep the story's DNS and providers running until interrupted, and say how to look at them")
	fs.StringVar(&o.card, "card", cardApplet, "where meters have their `kind` of keys: iotsafe, an applet beside the eUICC makes them; soft, the registry does; tpm, a TPM 2.0")
	fs.StringVar(&o.tpm, "tpm", "", "TPM of -card tpm: a device `file`, or the Unix socket of swtpm; empty for /dev/tpmrm0")
	fs.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile to this `file`")
	fs.Usage = func() {
		fmt.Fprint(stderr, "Usage: ottawa [-devices N] [-csv FILE] [-card KIND] [-data DIR] [-json] [-hold]\n\nRuns the story of the Secure IoT Registry on this machine and proves it.\n\n")
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q; -h shows the flags", fs.Arg(0))
	case o.card != cardApplet && o.card != cardSoft && o.card != cardTPM:
		return o, fmt.Errorf("-card must be %s, %s or %s", cardApplet, cardSoft, cardTPM)
	case o.tpm != "" && o.card != cardTPM:
		return o, errors.New("-tpm is for -card tpm")
	case o.devices < 1 || o.devices > 1_000_000:
		return o, errors.New("-devices must be from 1 to 1000000")
	}
	return o, nil
}
