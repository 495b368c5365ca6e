package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// Op names what a job does to its devices.
type Op string

// The operations of jobs. [OpTransfer] is done by package transfer, where it
// has been told of this registry.
const (
	OpImport   Op = opImport
	OpActivate Op = opActivate
	OpTransfer Op = "transfer"
	OpReset    Op = opReset
	OpSwitch   Op = opSwitch
	OpDelete   Op = opDelete
	OpRestore  Op = opRestore
)

// JobState is how far a job has come.
type JobState string

// The states of a job. Only a job that runs changes again.
const (
	JobLoading   JobState = "loading" // its devices are still coming in
	JobRunning   JobState = "running" // to be worked on
	JobDone      JobState = "done"    // every device has its result
	JobCancelled JobState = "cancelled"
)

// Batch is a request for any number of devices, which a job carries out.
type Batch struct {
	Op     Op     `json:"op"`
	Owner  string `json:"owner,omitempty"` // of an import
	MNO    string `json:"mno,omitempty"`   // of an import: for rows that name none; of a switch: the new operator
	Atomic bool   `json:"atomic,omitempty"`
	DryRun bool   `json:"dryRun,omitempty"`
}

// Job is a batch that the registry works on until every device has its result,
// across restarts and with any number of processes.
type Job struct {
	Batch
	ID       string    `json:"id"`
	Account  string    `json:"account"`
	Role     Role      `json:"role"`
	State    JobState  `json:"state"`
	Total    int       `json:"total"`  // devices
	Done     int       `json:"done"`   // devices with a result
	Failed   int       `json:"failed"` // among them
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Finished time.Time `json:"finished,omitzero"`
}

// storedJob is a job as the store has it.
type storedJob struct {
	Job
	Size        int    `json:"size"` // devices in each of its parts but the last
	Parts       int    `json:"parts"`
	Fingerprint string `json:"fingerprint"` // of what was submitted

	version uint64
}

func (j *storedJob) setVersion(v uint64) { j.version = v }

// actor is who the job works for; each part is one call of it.
func (j *Job) actor(part string) Actor {
	return Actor{Account: j.Account, Role: j.Role, Key: "job\x00" + part}
}

func jobRecord(j *storedJob) Record {
	return Record{Key: j.ID, Parent: j.Account, Version: j.version, Body: encode(j)}
}

// part is some consecutive devices of a job, which one call carries out.
type part struct {
	Rows    []Row    `json:"rows"`
	Grants  [][]byte `json:"grants,omitempty"`  // of a transfer, in place of the codes
	Refused []Result `json:"refused,omitempty"` // decided when the job was submitted; zero where it was not
	Results []Result `json:"results,omitempty"` // of all rows, once done

	// Sum is of this part's items and those before it.
	Sum string `json:"sum,omitempty"`

	version uint64
}

func (c *part) setVersion(v uint64) { c.version = v }

func partKey(job string, n int) string { return fmt.Sprintf("%s/%08d", job, n) }

// Task is what a job's handler is to carry out.
type Task struct {
	Batch
	Rows  []Row
	Moves []Move // of a transfer, in place of rows
}

// Handler carries out a part of a job and returns one result per device, in
// their order. It is called again with the same actor, whose Key makes the call
// repeatable, until it has returned without an error.
type Handler func(ctx context.Context, actor Actor, t Task) ([]Result, error)

// Handle sets who carries out jobs of an operation. A process works only on
// jobs for which it has a handler.
func (r *Registry) Handle(op Op, h Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers[op] = h
}

func (r *Registry) handler(op Op) Handler {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.handlers[op]
}

func (r *Registry) ownHandlers() map[Op]Handler {
	return map[Op]Handler{
		OpImport: func(ctx context.Context, actor Actor, t Task) ([]Result, error) {
			return r.Import(ctx, actor, Import{Owner: t.Owner, MNO: t.MNO, Rows: t.Rows, Atomic: t.Atomic, DryRun: t.DryRun})
		},
		OpActivate: r.overIDs(func(ctx context.Context, actor Actor, t Task, opts Options, ids []eid.ID) ([]Result, error) {
			return r.Activate(ctx, actor, opts, ids...)
		}),
		OpReset: r.overIDs(func(ctx context.Context, actor Actor, t Task, opts Options, ids []eid.ID) ([]Result, error) {
			return r.Reset(ctx, actor, opts, ids...)
		}),
		OpSwitch: r.overIDs(func(ctx context.Context, actor Actor, t Task, opts Options, ids []eid.ID) ([]Result, error) {
			return r.Switch(ctx, actor, t.MNO, opts, ids...)
		}),
		OpDelete: r.overIDs(func(ctx context.Context, actor Actor, t Task, opts Options, ids []eid.ID) ([]Result, error) {
			return r.Delete(ctx, actor, opts, ids...)
		}),
		OpRestore: r.overIDs(func(ctx context.Context, actor Actor, t Task, opts Options, ids []eid.ID) ([]Result, error) {
			return r.Restore(ctx, actor, opts, ids...)
		}),
	}
}

func (r *Registry) overIDs(do func(context.Context, Actor, Task, Options, []eid.ID) ([]Result, error)) Handler {
	return func(ctx context.Context, actor Actor, t Task) ([]Result, error) {
		ids := make([]eid.ID, len(t.Rows))
		for i, row := range t.Rows {
			ids[i] = row.ID
		}
		results, err := do(ctx, actor, t, Options{Atomic: t.Atomic, DryRun: t.DryRun}, ids)
		for i := range results {
			results[i].Line = t.Rows[i].Line
		}
		return results, err
	}
}

// Submit stores a batch as a job and returns it; [Registry.Run] and
// [Registry.Work], here or elsewhere, carry it out. The codes of a transfer are
// checked here, wrong ones are counted, and no code is stored.
//
// With an idempotency key the same submission gives the same job, however often
// it is made. A submission that an error of items or a crash interrupted leaves
// a job that is never worked on; made again with its key it is loaded anew. Jobs
// are forgotten after Config.RequestTTL, as are the answers to other calls.
func (r *Registry) Submit(ctx context.Context, actor Actor, b Batch, items iter.Seq2[Row, error]) (*Job, error) {
	if err := r.maySubmit(actor, b); err != nil {
		return nil, &Error{Op: opJob, Err: err} // the operation may be anything yet
	}
	j, err := r.beginJob(ctx, actor, b)
	if err == nil {
		err = r.load(ctx, actor, j, items)
	}
	if err != nil {
		return nil, &Error{Op: string(b.Op), Err: err}
	}
	r.nudge()
	return &j.Job, nil
}

func (r *Registry) maySubmit(actor Actor, b Batch) error {
	op := string(b.Op)
	if b.Op == OpTransfer {
		op = opMove
	}
	ops := []Op{OpImport, OpActivate, OpTransfer, OpReset, OpSwitch, OpDelete, OpRestore}
	switch {
	case !slices.Contains(ops, b.Op):
		return fmt.Errorf("%w: %.40q is no operation of jobs: they are %q", ErrInvalid, b.Op, ops)
	case len(actor.Key) > maxKey:
		return fmt.Errorf("%w: the idempotency key is longer than %d bytes", ErrInvalid, maxKey)
	}
	return may(actor, op, nil)
}

// beginJob returns the job of the actor's key as it is, or a new one.
func (r *Registry) beginJob(ctx context.Context, actor Actor, b Batch) (j *storedJob, err error) {
	now := r.now()
	id, err := r.newID(now)
	if err != nil {
		return nil, err
	}
	if actor.Key != "" {
		id = "k-" + requestHash(actor)
	}
	size := r.Batch
	if b.Atomic {
		size = MaxAtomic
	}
	err = r.store.Update(ctx, func(tx Tx) error {
		if j, err = getOne[storedJob](ctx, tx, TableJobs, id); err != nil {
			return err
		}
		if j != nil && (j.Batch != b || j.Role != actor.Role) {
			return ErrKeyReused
		}
		if j != nil {
			return nil
		}
		j = &storedJob{Size: size, Job: Job{
			Batch: b, ID: id, Account: actor.Account, Role: actor.Role, State: JobLoading, Created: now, Updated: now,
		}}
		if err := putTimers(ctx, tx, timerJob, now.Add(r.RequestTTL), id); err != nil {
			return err
		}
		err := tx.Put(ctx, TableJobs, jobRecord(j))
		j.version++
		return err
	})
	return j, err
}

// load stores the job's devices, part by part, and lets it run; of a job that has
// them it checks that they are the same.
func (r *Registry) load(ctx context.Context, actor Actor, j *storedJob, items iter.Seq2[Row, error]) error {
	loaded := j.State != JobLoading
	h := sha256.New()
	total, parts := 0, 0
	var rows []Row
	flush := func() error {
		if len(rows) == 0 || loaded {
			return nil
		}
		err := r.putPart(ctx, actor, j, parts, part{Rows: rows, Sum: hex.EncodeToString(h.Sum(nil))})
		rows, parts = nil, parts+1
		return err
	}
	for row, err := range items {
		if err != nil {
			return fmt.Errorf("item %d: %w", total+1, err)
		}
		if total++; j.Atomic && total > MaxAtomic {
			return Options{Atomic: true}.check(total)
		}
		fmt.Fprintf(h, "%q %q %q %q %q %q\n", row.ID, row.Model, row.Version, row.PublicKey, row.MNO, row.Code.secret())
		if loaded {
			continue
		}
		if rows = append(rows, row); len(rows) == j.Size {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	switch {
	case loaded && j.Fingerprint != sum:
		return ErrKeyReused
	case loaded:
		return nil
	}
	return r.startJob(ctx, j, total, parts, sum)
}

// loading makes sure that a job is still to get its devices from this submission:
// nobody else must have loaded other devices, let it run or cancelled it meanwhile.
func (j *storedJob) loading(ctx context.Context, tx Tx) error {
	now, err := getOne[storedJob](ctx, tx, TableJobs, j.ID)
	if err == nil && (now == nil || now.version != j.version) {
		err = fmt.Errorf("%w: the job is submitted twice at once, or cancelled", ErrConflict)
	}
	return err
}

// startJob lets a job run that has all its devices.
func (r *Registry) startJob(ctx context.Context, j *storedJob, total, parts int, sum string) error {
	return r.store.Update(ctx, func(tx Tx) error {
		if err := j.loading(ctx, tx); err != nil {
			return err
		}
		j.State, j.Total, j.Parts, j.Fingerprint, j.Updated = JobRunning, total, parts, sum, r.now()
		if total == 0 {
			j.State, j.Finished = JobDone, j.Updated
		}
		if err := tx.Put(ctx, TableJobs, jobRecord(j)); err != nil {
			return err
		}
		work := make([]Record, parts)
		for i := range work {
			work[i] = Record{Key: "job/" + partKey(j.ID, i), Parent: workJob, Body: []byte("{}")}
		}
		if err := tx.Put(ctx, TableWork, work...); err != nil {
			return err
		}
		return r.Record(ctx, tx, Actor{Account: j.Account, Role: j.Role}, Note{Op: "submit", Subject: j.ID, Detail: map[string]string{
			"op": string(j.Op), "devices": strconv.Itoa(total),
		}})
	})
}

// putPart stores a part, with the codes of a transfer checked and left out. In the
// place of another submission's it says so in the job, so that they do not mix.
func (r *Registry) putPart(ctx context.Context, actor Actor, j *storedJob, n int, p part) error {
	other := false
	err := r.store.Update(ctx, func(tx Tx) error {
		if err := j.loading(ctx, tx); err != nil {
			return err
		}
		key := partKey(j.ID, n)
		old, err := getOne[part](ctx, tx, TableParts, key)
		if err != nil {
			return err
		}
		if other = old != nil && old.Sum != p.Sum; other {
			if err := tx.Put(ctx, TableJobs, jobRecord(j)); err != nil {
				return err
			}
		}
		c := part{Rows: slices.Clone(p.Rows), Sum: p.Sum}
		if j.Op == OpTransfer {
			if err := r.grant(ctx, tx, actor, &c); err != nil {
				return err
			}
		}
		if old != nil {
			c.version = old.version
		}
		return tx.Put(ctx, TableParts, Record{Key: key, Parent: j.ID, Version: c.version, Body: encode(c)})
	})
	if err == nil && other {
		j.version++
	}
	return err
}

// grant checks the codes of a chunk and puts in their place which record each
// one matched: what the store keeps is worth nothing to a thief.
func (r *Registry) grant(ctx context.Context, tx Tx, actor Actor, c *part) error {
	c.Refused, c.Grants = make([]Result, len(c.Rows)), make([][]byte, len(c.Rows))
	for i, row := range c.Rows {
		c.Refused[i] = Result{Line: row.Line, Device: row.ID}
	}
	plans, at := newPlans(string(OpTransfer), c.Refused)
	for i, p := range plans {
		p.code = c.Rows[at[i]].Code
	}
	for i := range c.Rows {
		c.Rows[i].Code = AuthCode{}
	}
	s, err := r.look(ctx, tx, &errand{actor: actor, moving: true}, plans)
	if err != nil {
		return err
	}
	var wrong []*plan
	for i, p := range plans {
		p.device = s.devices[p.result.Device.String()]
		err := judgeMove(actor, MoveOptions{}, p, s)
		if c.Grants[at[i]] = p.grant; errors.Is(err, ErrAuthCode) || errors.Is(err, ErrLocked) {
			p.fail(string(OpTransfer), err)
		}
		if errors.Is(err, ErrAuthCode) {
			wrong = append(wrong, p)
		}
	}
	return r.countGuesses(ctx, tx, actor, s, wrong)
}

// Job returns a job of the actor's account; the operator and an auditor may see
// all of them.
func (r *Registry) Job(ctx context.Context, actor Actor, id string) (*Job, error) {
	j, err := r.job(ctx, id)
	if err == nil && j.Account != actor.Account && actor.Role != RoleOperator && actor.Role != RoleAuditor {
		err = ErrNoJob
	}
	if err != nil {
		return nil, &Error{Op: opJob, Err: err}
	}
	return &j.Job, nil
}

func (r *Registry) job(ctx context.Context, id string) (j *storedJob, err error) {
	err = r.store.View(ctx, func(tx Tx) error {
		j, err = getOne[storedJob](ctx, tx, TableJobs, id)
		return err
	})
	if err == nil && j == nil {
		err = ErrNoJob
	}
	return j, err
}

// Jobs returns up to limit jobs of the actor's account, or of all for the
// operator and an auditor, after the given ID in byte order of their IDs.
func (r *Registry) Jobs(ctx context.Context, actor Actor, after string, limit int) ([]*Job, error) {
	q := Query{Parent: actor.Account, After: after, Limit: limit}
	if actor.Role == RoleOperator || actor.Role == RoleAuditor {
		q.Parent = ""
	}
	var stored []*storedJob
	err := r.store.View(ctx, func(tx Tx) (err error) {
		stored, err = listAll[storedJob](ctx, tx, TableJobs, q)
		return err
	})
	if err != nil {
		return nil, &Error{Op: opJob, Err: err}
	}
	out := make([]*Job, len(stored))
	for i, j := range stored {
		out[i] = &j.Job
	}
	return out, nil
}

// JobResults yields the results of a job's devices in the order in which they
// were submitted, from index from (0 for the first), up to the first device that
// has none yet.
func (r *Registry) JobResults(ctx context.Context, actor Actor, id string, from int) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		_, err := r.Job(ctx, actor, id)
		var j *storedJob
		if err == nil {
			j, err = r.job(ctx, id)
		}
		if err != nil {
			yield(Result{}, err)
			return
		}
		from = max(from, 0)
		for n := from / j.Size; n < j.Parts; n++ {
			c, err := r.part(ctx, partKey(id, n))
			if err != nil {
				yield(Result{}, &Error{Op: opJob, Err: err})
				return
			}
			if c.Results == nil {
				over, err := r.neverBegun(ctx, j, n)
				if err != nil {
					yield(Result{}, &Error{Op: opJob, Err: err})
				}
				if err != nil || !over {
					return
				}
			}
			all := c.outcome(j.Op)
			for _, res := range all[min(max(from-n*j.Size, 0), len(all)):] { // the last part is shorter
				if !yield(res, nil) {
					return
				}
			}
		}
	}
}

// neverBegun reports whether a part without results will not get any.
func (r *Registry) neverBegun(ctx context.Context, j *storedJob, n int) (bool, error) {
	if j.State != JobCancelled {
		return false, nil
	}
	begun, err := r.answered(ctx, j.actor(partKey(j.ID, n)))
	return !begun, err
}

// outcome is the part's results, or that it was cancelled.
func (c *part) outcome(op Op) []Result {
	if c.Results != nil {
		return c.Results
	}
	out := make([]Result, len(c.Rows))
	for i, row := range c.Rows {
		out[i] = Result{Line: row.Line, Device: row.ID, Err: &Error{Op: string(op), Device: row.ID, Err: ErrCancelled}}
	}
	return out
}

func (r *Registry) part(ctx context.Context, key string) (*part, error) {
	var c *part
	err := r.store.View(ctx, func(tx Tx) (err error) {
		c, err = getOne[part](ctx, tx, TableParts, key)
		return err
	})
	if err == nil && c == nil {
		err = fmt.Errorf("%w: part %s is missing", ErrNoJob, key)
	}
	return c, err
}

// CancelJob stops a job: what is done stays done, what has not begun is not
// done any more. A job that has ended stays as it is.
func (r *Registry) CancelJob(ctx context.Context, actor Actor, id string) (*Job, error) {
	var j *storedJob
	err := r.store.Update(ctx, func(tx Tx) (err error) {
		if j, err = getOne[storedJob](ctx, tx, TableJobs, id); err != nil {
			return err
		}
		if j == nil || j.Account != actor.Account && actor.Role != RoleOperator {
			return ErrNoJob
		}
		if j.State != JobRunning && j.State != JobLoading {
			return nil
		}
		j.State, j.Finished = JobCancelled, r.now()
		j.Updated = j.Finished
		if err := tx.Put(ctx, TableJobs, jobRecord(j)); err != nil {
			return err
		}
		return r.Record(ctx, tx, actor, Note{Op: "cancel job", Subject: id})
	})
	if err != nil {
		return nil, &Error{Op: opJob, Err: err}
	}
	r.tellJob(&j.Job)
	return &j.Job, nil
}

// forgetJobs removes jobs that were submitted long ago, with their results. One
// that is still worked on is looked at again the next day.
func (r *Registry) forgetJobs(ctx context.Context, ids []string) error {
	for _, id := range ids {
		err := r.store.Update(ctx, func(tx Tx) error {
			j, err := getOne[storedJob](ctx, tx, TableJobs, id)
			if err != nil || j == nil {
				return err
			}
			if j.State == JobRunning {
				return putTimers(ctx, tx, timerJob, r.now().Add(24*time.Hour), id)
			}
			parts, err := listKeys(ctx, tx, TableParts, Query{Parent: id})
			if err != nil {
				return err
			}
			if err := tx.Delete(ctx, TableParts, parts...); err != nil {
				return err
			}
			return tx.Delete(ctx, TableJobs, id)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) tellJob(j *Job) {
	if r.OnJob != nil {
		r.OnJob(*j)
	}
}
