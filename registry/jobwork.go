package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/iotregistry/sdk/mno"
)

// workJob is what is owed to a part of a job.
const workJob = "job"

// Work carries out what there is to do of jobs and returns how many parts it has
// finished. Any number of processes may work at once: each claims a part before
// it begins. A part whose process has died is free again after Config.Lease.
func (r *Registry) Work(ctx context.Context, actor Actor) (int, error) {
	if err := may(actor, opRun, nil); err != nil {
		return 0, &Error{Op: "work", Err: err}
	}
	n, err := r.work(ctx, r.free)
	if err != nil {
		return n, &Error{Op: "work", Err: err}
	}
	return n, nil
}

func (r *Registry) work(ctx context.Context, claim claimer) (int, error) {
	done, after := 0, ""
	var errs []error
	for {
		var recs []Record
		err := r.store.View(ctx, func(tx Tx) (err error) {
			recs, err = tx.List(ctx, TableWork, Query{Parent: workJob, After: after, Limit: 1})
			return err
		})
		if err != nil || len(recs) == 0 {
			return done, errors.Join(append(errs, err)...)
		}
		after = recs[len(recs)-1].Key
		if !r.canDo(ctx, after) {
			continue // another process can
		}
		keys, err := claim(ctx, TableWork, recs)
		if err != nil {
			return done, errors.Join(append(errs, err)...)
		}
		for _, key := range keys {
			did, err := r.workOn(ctx, key)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", key, err))
			}
			if did {
				done++
			}
		}
		if ctx.Err() != nil {
			return done, errors.Join(errs...)
		}
	}
}

// canDo reports whether there is somebody here to carry out a part.
func (r *Registry) canDo(ctx context.Context, key string) bool {
	j, err := r.job(ctx, jobOf(key))
	return err != nil || j.State == JobCancelled || r.handler(j.Op) != nil
}

// jobOf is the job that a record of work is about.
func jobOf(key string) string { return strings.Split(key, "/")[1] }

// workOn carries out one part of a job.
func (r *Registry) workOn(ctx context.Context, key string) (bool, error) {
	j, err := r.job(ctx, jobOf(key))
	if err != nil {
		return false, err
	}
	name := strings.TrimPrefix(key, workJob+"/")
	if j.State == JobCancelled {
		// What has begun is finished, so that nobody is told that it was not done.
		if begun, err := r.answered(ctx, j.actor(name)); err != nil || begun && r.handler(j.Op) == nil {
			return false, err
		} else if !begun {
			return true, r.store.Update(ctx, func(tx Tx) error { return tx.Delete(ctx, TableWork, key) })
		}
	}
	c, err := r.part(ctx, name)
	if err != nil {
		return false, err
	}
	results, err := c.carryOut(ctx, &j.Job, name, r.handler(j.Op))
	if err != nil && !settled(results) {
		return false, err
	}
	if undelivered(results) && j.State == JobRunning && r.now().Before(j.Created.Add(patience)) {
		r.log.WarnContext(ctx, "a job waits for an operator", "job", j.ID, "part", name)
		return false, nil
	}
	return true, r.finishPart(ctx, j.ID, key, name, results)
}

// settled reports whether every result is final, so that a call that failed as a
// whole need not be made again.
func settled(results []Result) bool {
	for _, res := range results {
		if Retryable(res.Err) {
			return false
		}
	}
	return len(results) > 0
}

// patience is how long a job waits for an operator that takes no orders. What is
// not delivered by then is told as it is; Resume goes on with it all the same.
const patience = 24 * time.Hour

// undelivered reports whether some profiles are not with their operators yet,
// and may be later.
func undelivered(results []Result) bool {
	return slices.ContainsFunc(results, func(r Result) bool {
		return errors.Is(r.Err, ErrUndelivered) && !errors.Is(r.Err, mno.ErrOrderClosed)
	})
}

// carryOut calls the handler for the rows that were not refused before.
func (c *part) carryOut(ctx context.Context, j *Job, name string, h Handler) ([]Result, error) {
	t := Task{Batch: j.Batch}
	results := make([]Result, len(c.Rows))
	var at []int
	for i, row := range c.Rows {
		if len(c.Refused) > 0 && c.Refused[i].Err != nil {
			results[i] = c.Refused[i]
			continue
		}
		at = append(at, i)
		if j.Op == OpTransfer {
			t.Moves = append(t.Moves, Move{Line: row.Line, Device: row.ID, grant: c.Grants[i]})
		} else {
			t.Rows = append(t.Rows, row)
		}
	}
	if j.Atomic && len(at) < len(c.Rows) {
		for _, i := range at {
			results[i] = Result{Line: c.Rows[i].Line, Device: c.Rows[i].ID, Err: &Error{Op: string(j.Op), Device: c.Rows[i].ID, Err: ErrAborted}}
		}
		return results, nil
	}
	if len(at) == 0 {
		return results, nil
	}
	got, err := h(ctx, j.actor(name), t)
	if len(got) != len(at) {
		return nil, errors.Join(err, fmt.Errorf("registry: the handler of %q gave %d results for %d devices", j.Op, len(got), len(at)))
	}
	for n, res := range got {
		results[at[n]] = res
	}
	return results, err
}

// finishPart records the results of a part, once.
func (r *Registry) finishPart(ctx context.Context, id, key, name string, results []Result) error {
	var j *storedJob
	err := r.store.Update(ctx, func(tx Tx) error {
		var err error
		if j, err = getOne[storedJob](ctx, tx, TableJobs, id); err != nil || j == nil {
			return err
		}
		c, err := getOne[part](ctx, tx, TableParts, name)
		if err != nil {
			return err
		}
		if c == nil || c.Results != nil {
			return tx.Delete(ctx, TableWork, key) // another process was faster
		}
		c.Results, c.Refused, c.Grants = results, nil, nil
		j.Done += len(results)
		j.Failed += len(Failed(results))
		j.Updated = r.now()
		if err := tx.Put(ctx, TableParts, Record{Key: name, Parent: id, Version: c.version, Body: encode(c)}); err != nil {
			return err
		}
		if err := tx.Delete(ctx, TableWork, key); err != nil {
			return err
		}
		return r.putProgress(ctx, tx, j)
	})
	if err == nil && j != nil {
		r.tellJob(&j.Job)
	}
	return err
}

// putProgress stores a job whose part is done and tells its account at the end.
func (r *Registry) putProgress(ctx context.Context, tx Tx, j *storedJob) error {
	if j.Done == j.Total && j.State == JobRunning {
		j.State, j.Finished = JobDone, j.Updated
		detail := map[string]string{"op": string(j.Op), "devices": strconv.Itoa(j.Total), "failed": strconv.Itoa(j.Failed)}
		if err := r.Record(ctx, tx, Actor{Account: j.Account, Role: j.Role}, Note{Op: "job done", Subject: j.ID, Detail: detail}); err != nil {
			return err
		}
		if err := r.Notify(ctx, tx, Message{Account: j.Account, Type: MessageJobDone, Subject: j.ID, Detail: detail}); err != nil {
			return err
		}
	}
	return tx.Put(ctx, TableJobs, jobRecord(j))
}
