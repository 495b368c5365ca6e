package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
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

	Chunks      int    `json:"chunks"`                // that the devices are stored in
	Fingerprint string `json:"fingerprint,omitempty"` // of what was submitted
	version     uint64
}

func (j *Job) setVersion(v uint64) { j.version = v }

// actor is who the job works for; each chunk is one call of it.
func (j *Job) actor(chunk string) Actor {
	return Actor{Account: j.Account, Role: j.Role, Key: "job\x00" + chunk}
}

func jobRecord(j *Job) Record {
	return Record{Key: j.ID, Parent: j.Account, Version: j.version, Body: encode(j)}
}

// chunk is some consecutive devices of a job, which one call carries out.
type chunk struct {
	Rows    []Row    `json:"rows"`
	Grants  [][]byte `json:"grants,omitempty"`  // of a transfer, in place of the codes
	Refused []Result `json:"refused,omitempty"` // decided when the job was submitted; zero where it was not
	Results []Result `json:"results,omitempty"` // of all rows, once done

	version uint64
}

func (c *chunk) setVersion(v uint64) { c.version = v }

func chunkKey(job string, n int) string { return fmt.Sprintf("%s/%08d", job, n) }

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
			return r.ActivateAll(ctx, actor, opts, ids)
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
// a job that is never worked on; made again with its key it is loaded anew.
func (r *Registry) Submit(ctx context.Context, actor Actor, b Batch, items iter.Seq2[Row, error]) (*Job, error) {
	if err := r.maySubmit(actor, b); err != nil {
		return nil, &Error{Op: string(b.Op), Err: err}
	}
	j, loaded, err := r.beginJob(ctx, actor, b)
	if err == nil {
		err = r.load(ctx, actor, j, loaded, items)
	}
	if err != nil {
		return nil, &Error{Op: string(b.Op), Err: err}
	}
	r.nudge()
	return j, nil
}

func (r *Registry) maySubmit(actor Actor, b Batch) error {
	op := string(b.Op)
	if b.Op == OpTransfer {
		op = opMove
	}
	switch {
	case !slices.Contains([]Op{OpImport, OpActivate, OpTransfer, OpReset, OpSwitch, OpDelete, OpRestore}, b.Op):
		return fmt.Errorf("%w: %q is no operation of jobs", ErrInvalid, b.Op)
	case len(actor.Key) > maxKey:
		return fmt.Errorf("%w: the idempotency key is longer than %d bytes", ErrInvalid, maxKey)
	}
	return may(actor, op, nil)
}

// beginJob returns the job of the actor's key as it is, or a new one. The second
// value says whether it has all its devices.
func (r *Registry) beginJob(ctx context.Context, actor Actor, b Batch) (j *Job, loaded bool, err error) {
	now := r.now()
	id, err := r.newID(now)
	if err != nil {
		return nil, false, err
	}
	if actor.Key != "" {
		id = "k-" + requestHash(actor)
	}
	err = r.store.Update(ctx, func(tx Tx) error {
		if j, err = getOne[Job](ctx, tx, TableJobs, id); err != nil {
			return err
		}
		switch {
		case j == nil:
			j = &Job{Batch: b, ID: id, Account: actor.Account, Role: actor.Role, State: JobLoading, Created: now, Updated: now}
			j.version = 1
			rec := jobRecord(j)
			rec.Version = 0
			return tx.Put(ctx, TableJobs, rec)
		case j.Batch != b || j.Role != actor.Role:
			return ErrKeyReused
		}
		loaded = j.State != JobLoading
		return nil
	})
	return j, loaded, err
}

// load stores the job's devices, chunk by chunk, and lets it run; of a job that
// has them it checks that they are the same.
func (r *Registry) load(ctx context.Context, actor Actor, j *Job, loaded bool, items iter.Seq2[Row, error]) error {
	h := sha256.New()
	total, n := 0, 0
	size := r.Batch
	if j.Atomic {
		size = MaxAtomic + 1
	}
	var rows []Row
	flush := func() error {
		if len(rows) == 0 || loaded {
			rows = nil
			return nil
		}
		err := r.putChunk(ctx, actor, j, n, rows)
		rows, n = nil, n+1
		return err
	}
	for row, err := range items {
		if err != nil {
			return fmt.Errorf("item %d: %w", total+1, err)
		}
		if total++; j.Atomic && total > MaxAtomic {
			return (Options{Atomic: true}).check(total)
		}
		fmt.Fprintf(h, "%q %q %q %q %q %q\n", row.ID, row.Model, row.Version, row.PublicKey, row.MNO, row.Code.secret())
		if rows = append(rows, row); len(rows) == size {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if loaded {
		if j.Fingerprint != sum {
			return ErrKeyReused
		}
		return nil
	}
	return r.startJob(ctx, j, total, n, sum)
}

// startJob lets a job run that has all its devices.
func (r *Registry) startJob(ctx context.Context, j *Job, total, chunks int, sum string) error {
	return r.store.Update(ctx, func(tx Tx) error {
		now, err := getOne[Job](ctx, tx, TableJobs, j.ID)
		if err != nil {
			return err
		}
		if now == nil || now.State != JobLoading {
			return ErrConflict // the same submission is made twice at once
		}
		*j = *now
		j.State, j.Total, j.Chunks, j.Fingerprint, j.Updated = JobRunning, total, chunks, sum, r.now()
		if total == 0 {
			j.State, j.Finished = JobDone, j.Updated
		}
		if err := tx.Put(ctx, TableJobs, jobRecord(j)); err != nil {
			return err
		}
		j.version++
		work := make([]Record, chunks)
		for i := range work {
			work[i] = Record{Key: "job/" + chunkKey(j.ID, i), Parent: workJob, Body: []byte("{}")}
		}
		if err := tx.Put(ctx, TableWork, work...); err != nil {
			return err
		}
		return r.Record(ctx, tx, Actor{Account: j.Account, Role: j.Role}, Note{Op: "submit", Subject: j.ID, Detail: map[string]string{
			"op": string(j.Op), "devices": fmt.Sprint(total),
		}})
	})
}

// putChunk stores a chunk, with the codes of a transfer checked and left out.
func (r *Registry) putChunk(ctx context.Context, actor Actor, j *Job, n int, rows []Row) error {
	return r.store.Update(ctx, func(tx Tx) error {
		c := chunk{Rows: slices.Clone(rows)}
		if j.Op == OpTransfer {
			if err := r.grant(ctx, tx, actor, &c); err != nil {
				return err
			}
		}
		key := chunkKey(j.ID, n)
		if err := tx.Delete(ctx, TableChunks, key); err != nil {
			return err // of a submission that was interrupted
		}
		return tx.Put(ctx, TableChunks, Record{Key: key, Parent: j.ID, Body: encode(c)})
	})
}

// grant checks the codes of a chunk and puts in their place which record each
// one matched: what the store keeps is worth nothing to a thief.
func (r *Registry) grant(ctx context.Context, tx Tx, actor Actor, c *chunk) error {
	c.Refused, c.Grants = make([]Result, len(c.Rows)), make([][]byte, len(c.Rows))
	plans := make([]*plan, len(c.Rows))
	for i, row := range c.Rows {
		c.Refused[i] = Result{Line: row.Line, Device: row.ID}
		plans[i] = &plan{result: &c.Refused[i], code: row.Code}
	}
	s, err := r.look(ctx, tx, &errand{actor: actor, moving: true}, plans)
	if err != nil {
		return err
	}
	var wrong []*plan
	for i, p := range plans {
		c.Rows[i].Code = AuthCode{}
		p.device = s.devices[p.result.Device.String()]
		err := judgeMove(actor, MoveOptions{}, p, s)
		if c.Grants[i] = p.grant; errors.Is(err, ErrAuthCode) || errors.Is(err, ErrLocked) {
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
	var j *Job
	err := r.store.View(ctx, func(tx Tx) (err error) {
		j, err = getOne[Job](ctx, tx, TableJobs, id)
		return err
	})
	if err == nil && (j == nil || j.Account != actor.Account && actor.Role != RoleOperator && actor.Role != RoleAuditor) {
		err = ErrNoJob
	}
	if err != nil {
		return nil, &Error{Op: "job", Err: err}
	}
	return j, nil
}

// Jobs returns up to limit jobs of the actor's account, or of all for the
// operator and an auditor, after the given ID in byte order of their IDs.
func (r *Registry) Jobs(ctx context.Context, actor Actor, after string, limit int) ([]*Job, error) {
	q := Query{Parent: actor.Account, After: after, Limit: limit}
	if actor.Role == RoleOperator || actor.Role == RoleAuditor {
		q.Parent = ""
	}
	var out []*Job
	err := r.store.View(ctx, func(tx Tx) (err error) {
		out, err = listAll[Job](ctx, tx, TableJobs, q)
		return err
	})
	if err != nil {
		return nil, &Error{Op: "job", Err: err}
	}
	return out, nil
}

// JobResults yields the results of a job's devices in the order in which they
// were submitted, from index from (0 for the first), up to the first device that
// has none yet.
func (r *Registry) JobResults(ctx context.Context, actor Actor, id string, from int) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		j, err := r.Job(ctx, actor, id)
		if err != nil {
			yield(Result{}, err)
			return
		}
		at := 0
		for n := range j.Chunks {
			c, err := r.chunk(ctx, chunkKey(id, n))
			if err != nil {
				yield(Result{}, &Error{Op: "job", Err: err})
				return
			}
			if c.Results == nil && j.State == JobCancelled {
				c.Results = c.cancelled(j.Op)
			}
			if c.Results == nil {
				return
			}
			for _, res := range c.Results {
				if at++; at > from && !yield(res, nil) {
					return
				}
			}
		}
	}
}

func (c *chunk) cancelled(op Op) []Result {
	out := make([]Result, len(c.Rows))
	for i, row := range c.Rows {
		out[i] = Result{Line: row.Line, Device: row.ID, Err: &Error{Op: string(op), Device: row.ID, Err: ErrCancelled}}
	}
	return out
}

func (r *Registry) chunk(ctx context.Context, key string) (*chunk, error) {
	var c *chunk
	err := r.store.View(ctx, func(tx Tx) (err error) {
		c, err = getOne[chunk](ctx, tx, TableChunks, key)
		return err
	})
	if err == nil && c == nil {
		err = fmt.Errorf("%w: part %s", ErrNoJob, key)
	}
	return c, err
}

// CancelJob stops a job: what is done stays done, what has not begun is not
// done any more.
func (r *Registry) CancelJob(ctx context.Context, actor Actor, id string) (*Job, error) {
	var j *Job
	err := r.store.Update(ctx, func(tx Tx) (err error) {
		if j, err = getOne[Job](ctx, tx, TableJobs, id); err != nil {
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
		j.version++
		return r.Record(ctx, tx, actor, Note{Op: "cancel job", Subject: id})
	})
	if err != nil {
		return nil, &Error{Op: "job", Err: err}
	}
	r.tellJob(j)
	return j, nil
}

func (r *Registry) tellJob(j *Job) {
	if r.OnJob != nil {
		r.OnJob(*j)
	}
}
