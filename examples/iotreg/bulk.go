package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web"
)

// Arguments that many commands take.
const (
	idsArg  = "FILE|ID..."
	idsHelp = `FILE is a CSV whose first line names the column Device ID; other columns do not
matter; - is standard input.`
	jobHelp = `The registry does it as a job, which goes on when iotreg is interrupted; see
iotreg job -h. Made again with the same -key and list, also after trouble on the
way, it is the same job. Exit status 0 means that all devices were done.`
)

// bulk are the flags of a command that submits a job.
type bulk struct {
	registry.Batch
	key    string
	noWait bool
}

func (b *bulk) register(fs *flag.FlagSet) {
	fs.BoolVar(&b.Atomic, "atomic", false, "all devices or none, at most 10,000")
	fs.BoolVar(&b.DryRun, "dry-run", false, "judge only, change nothing")
	fs.BoolVar(&b.noWait, "no-wait", false, "print the job and do not wait for it")
	fs.StringVar(&b.key, "key", "", "idempotency `key`: the same list submitted again with it is the same job")
}

func bulkCommands() []command {
	return []command{
		importCommand(),
		plain("activate", "Issue, seal, publish and order the devices' first profiles", registry.OpActivate),
		plain("reset", "Give active devices a new profile of the same provider", registry.OpReset),
		switchCommand(),
		plain("delete", "Take devices out of service", registry.OpDelete),
		plain("restore", "Bring deleted devices back in their redemption period", registry.OpRestore),
	}
}

func importCommand() command {
	return command{
		name: "import", args: "FILE", min: 1, max: 1, peer: apiPeer,
		short: "Register the devices of an owner's list with you",
		long: `FILE is a CSV with the columns Device ID,Model,Version and optionally Public Key
and MNO; - is standard input. ` + jobHelp + `

  iotreg import meters.csv -owner ottawa -mno telco
  iotreg import meters.csv -owner ottawa -dry-run -json`,
		setup: func(fs *flag.FlagSet) action {
			b := &bulk{Batch: registry.Batch{Op: registry.OpImport}}
			b.register(fs)
			fs.StringVar(&b.Owner, "owner", "", "`account` of the devices' owner (required)")
			fs.StringVar(&b.MNO, "mno", "", "`account` of the operator of rows that name none")
			return func(ctx context.Context, s *session, args []string) (report, error) {
				if b.Owner == "" {
					return nil, usagef("-owner is missing")
				}
				rows, err := s.rows(args[0], registry.ReadCSV)
				if err != nil {
					return nil, err
				}
				return s.submit(ctx, b, rows)
			}
		},
	}
}

func switchCommand() command {
	return command{
		name: "switch", args: idsArg, min: 1, max: -1, peer: apiPeer,
		short: "Take devices to another operator, with a new profile",
		long:  idsHelp + " " + jobHelp + "\n\n  iotreg switch -mno othertel meters.csv",
		setup: func(fs *flag.FlagSet) action {
			b := &bulk{Batch: registry.Batch{Op: registry.OpSwitch}}
			b.register(fs)
			fs.StringVar(&b.MNO, "mno", "", "`account` of the new operator (required)")
			return func(ctx context.Context, s *session, args []string) (report, error) {
				if b.MNO == "" {
					return nil, usagef("-mno is missing")
				}
				return s.submitDevices(ctx, b, args)
			}
		},
	}
}

// plain is an operation on devices that needs nothing but their names.
func plain(name, short string, op registry.Op) command {
	return command{
		name: name, args: idsArg, min: 1, max: -1, peer: apiPeer, short: short,
		long: idsHelp + " " + jobHelp + "\n\n  iotreg " + name + " meters.csv\n  iotreg " + name + " 1000000000000001 1000000000000002",
		setup: func(fs *flag.FlagSet) action {
			b := &bulk{Batch: registry.Batch{Op: op}}
			b.register(fs)
			return func(ctx context.Context, s *session, args []string) (report, error) {
				return s.submitDevices(ctx, b, args)
			}
		},
	}
}

func (s *session) submitDevices(ctx context.Context, b *bulk, args []string) (report, error) {
	rows, err := s.devices(args)
	if err != nil {
		return nil, err
	}
	return s.submit(ctx, b, rows)
}

// submit makes a job of the rows and, unless told not to, waits for it.
func (s *session) submit(ctx context.Context, b *bulk, rows []registry.Row) (report, error) {
	if len(rows) == 0 {
		return nil, usagef("the list names no devices")
	}
	j, err := keyed(s.reg, b.key).Submit(ctx, b.Batch, each(rows, nil))
	if err != nil {
		return nil, err
	}
	if b.noWait {
		return s.job(j), nil
	}
	return s.await(ctx, j.ID)
}

func keyed(c *web.Client, key string) *web.Client {
	if key == "" {
		return c
	}
	return c.WithKey(key)
}

// await shows a job's progress until it has ended, and then what became of each
// device.
func (s *session) await(ctx context.Context, id string) (report, error) {
	j, err := s.watch(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("the registry goes on with job %s: iotreg job watch %s: %w", id, id, err)
	}
	return s.resultsOf(ctx, j)
}

// jobResults shows what there is of a job that may be going on.
func (s *session) jobResults(ctx context.Context, id string) (report, error) {
	j, err := s.reg.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.resultsOf(ctx, j)
}

func (s *session) resultsOf(ctx context.Context, j *registry.Job) (report, error) {
	r := &results{apiHead: s.head(), Job: j, Results: []registry.Result{}}
	for res, err := range s.reg.JobResults(ctx, j.ID, 0) {
		if err != nil {
			return nil, err
		}
		r.Results = append(r.Results, res)
	}
	r.judge()
	r.OK = r.OK && j.State != registry.JobCancelled
	return r, nil
}

func (s *session) watch(ctx context.Context, id string) (last *registry.Job, err error) {
	for j, err := range s.reg.WatchJob(ctx, id) {
		if err != nil {
			return nil, err
		}
		if last = j; j.State != registry.JobLoading && j.Total > 0 {
			break
		}
	}
	if last == nil {
		return nil, errors.New("the registry said nothing about it")
	}
	if ended(last) {
		return last, nil
	}
	step := s.progress.Step(string(last.Op), last.Total)
	defer step.Done()
	step.Add(last.Done)
	for j, err := range s.reg.WatchJob(ctx, id) {
		if err != nil {
			return nil, err
		}
		step.Add(j.Done - last.Done)
		last = j
	}
	return last, nil
}

func ended(j *registry.Job) bool {
	return j.State == registry.JobDone || j.State == registry.JobCancelled
}

// results is a report of one line for each device.
type results struct {
	apiHead
	Job     *registry.Job     `json:"job,omitempty"`
	Failed  int               `json:"failed"`
	Results []registry.Result `json:"results"`
	Error   string            `json:"error,omitempty"` // of a call that failed midway
}

func (r *results) judge() {
	r.Failed = len(registry.Failed(r.Results))
	r.OK = r.Failed == 0 && r.Error == ""
}

func (r *results) text(w io.Writer) {
	if len(r.Results) > 0 {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "DEVICE\tRESULT\tPROFILE\tWHY")
		for _, res := range r.Results {
			word, why := outcome(res)
			fmt.Fprintln(tw, cells([]any{res.Device, word, number(res.ProfileID), why}))
		}
		tw.Flush()
	}
	fmt.Fprintf(w, "%s: %d done, %d failed\n", count(len(r.Results), "device"), len(r.Results)-r.Failed, r.Failed)
	if r.Job != nil && r.Job.State == registry.JobCancelled {
		fmt.Fprintf(w, "job %s was cancelled\n", r.Job.ID)
	}
	if r.Error != "" {
		fmt.Fprintf(w, "failed midway: %s\n", r.Error)
	}
}

// outcome says in a word what became of a device, and why where it is refused.
func outcome(res registry.Result) (word, why string) {
	switch {
	case res.Err != nil:
		why = res.Err.Error()
		var e *registry.Error
		if errors.As(res.Err, &e) && e.Err != nil {
			why = e.Err.Error() // operation and device are told already
		}
		if res.Line > 0 {
			why = fmt.Sprintf("line %d: %s", res.Line, why)
		}
		return fmt.Sprintf("refused %d", registry.Code(res.Err)), why
	case res.Pending:
		return "pending", ""
	}
	return "done", ""
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// chunk is how many devices go into one call that is no job.
const chunk = 10_000

// direct makes calls on devices that are no jobs, in portions: each with a key
// of its own where there is one.
func direct[T any](s *session, items []T, key string, whole bool, call func(c *web.Client, part []T) ([]registry.Result, error)) (report, error) {
	r := &results{apiHead: s.head(), Results: []registry.Result{}}
	size := chunk
	if whole {
		size = max(len(items), 1)
	}
	for n := 0; n*size < len(items); n++ {
		c := s.reg
		if key != "" {
			c = c.WithKey(key + "/" + strconv.Itoa(n))
		}
		part, err := call(c, items[n*size:min((n+1)*size, len(items))])
		r.Results = append(r.Results, part...)
		if err != nil && len(r.Results) == 0 {
			return nil, err
		}
		if err != nil {
			r.Error = err.Error()
			break
		}
	}
	r.judge()
	return r, nil
}

// idsCommand is a call on devices that is no job.
type idsCall func(ctx context.Context, c *web.Client, opts registry.Options, ids []eid.ID) ([]registry.Result, error)

func idsCommand(name, short string, do idsCall) command {
	return command{
		name: name, args: idsArg, min: 1, max: -1, peer: apiPeer, short: short,
		long: idsHelp + "\n\n  iotreg " + name + " meters.csv\n  iotreg " + name + " 1000000000000001",
		setup: func(fs *flag.FlagSet) action {
			var opts registry.Options
			key := fs.String("key", "", "idempotency `key`")
			fs.BoolVar(&opts.Atomic, "atomic", false, "all devices or none, at most 10,000")
			fs.BoolVar(&opts.DryRun, "dry-run", false, "judge only, change nothing")
			return func(ctx context.Context, s *session, args []string) (report, error) {
				ids, err := s.ids(args)
				if err != nil {
					return nil, err
				}
				return direct(s, ids, *key, opts.Atomic, func(c *web.Client, part []eid.ID) ([]registry.Result, error) {
					return do(ctx, c, opts, part)
				})
			}
		},
	}
}

// output is where a command writes what is no report: a new file that is its
// user's alone.
func output(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, usageError{err}
	}
	return f, nil
}
