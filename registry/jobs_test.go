package registry_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/transfer"
)

func keyed(a registry.Actor, key string) registry.Actor {
	a.Key = key
	return a
}

// each yields rows as a source without errors does.
func each(rows []registry.Row) iter.Seq2[registry.Row, error] {
	return func(yield func(registry.Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

func rowsOf(ids []eid.ID) []registry.Row {
	rows := make([]registry.Row, len(ids))
	for i, id := range ids {
		rows[i] = registry.Row{Line: i + 2, ID: id}
	}
	return rows
}

func (b *bench) submit(actor registry.Actor, batch registry.Batch, rows []registry.Row) *registry.Job {
	b.t.Helper()
	j, err := b.reg.Submit(context.Background(), actor, batch, each(rows))
	require.NoError(b.t, err)
	return j
}

func (b *bench) work(reg *registry.Registry) int {
	b.t.Helper()
	n, err := reg.Work(context.Background(), root)
	require.NoError(b.t, err)
	return n
}

func (b *bench) results(actor registry.Actor, j *registry.Job, from int) []registry.Result {
	b.t.Helper()
	var out []registry.Result
	for r, err := range b.reg.JobResults(context.Background(), actor, j.ID, from) {
		require.NoError(b.t, err)
		out = append(out, r)
	}
	return out
}

func (b *bench) job(id string) *registry.Job {
	b.t.Helper()
	j, err := b.reg.Job(context.Background(), root, id)
	require.NoError(b.t, err)
	return j
}

func small(c *registry.Config) { c.Batch = 3 }

// A fleet's whole life as jobs: import, activate, reset, switch, transfer,
// delete, restore.
func TestJobs(t *testing.T) {
	t.Parallel()
	b := newBench(t, small, func(c *registry.Config) { c.Operators["telco2"] = c.Operators[telco.Account] })
	transfer.New(b.reg, transfer.Policy{})
	require.NoError(t, b.reg.PutAccount(t.Context(), root, registry.Account{ID: "telco2", Role: registry.RoleMNO}))
	rows := b.claim(7)
	ids := make([]eid.ID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	run := func(actor registry.Actor, batch registry.Batch, rows []registry.Row) {
		t.Helper()
		j := b.submit(actor, batch, rows)
		require.Equal(t, registry.JobRunning, j.State)
		require.Equal(t, 7, j.Total)
		require.Equal(t, 3, b.work(b.reg), "parts of three")
		require.Zero(t, b.work(b.reg))
		j = b.job(j.ID)
		require.Equal(t, registry.JobDone, j.State, batch.Op)
		require.Equal(t, 7, j.Done)
		require.Zero(t, j.Failed)
		results := b.results(actor, j, 0)
		require.Len(t, results, 7)
		for i, r := range results {
			require.NoError(t, r.Err, batch.Op)
			require.Equal(t, i+2, r.Line)
			require.Equal(t, ids[i], r.Device)
		}
		require.Len(t, b.results(actor, j, 5), 2)
	}
	run(parko, registry.Batch{Op: registry.OpImport, Owner: city.Account, MNO: telco.Account}, rows)
	run(parko, registry.Batch{Op: registry.OpActivate}, rowsOf(ids))
	run(parko, registry.Batch{Op: registry.OpReset}, rowsOf(ids))
	run(parko, registry.Batch{Op: registry.OpSwitch, MNO: "telco2"}, rowsOf(ids))
	require.Equal(t, "telco2", b.device(ids[0]).MNO)
	codes := rowsOf(ids)
	for i, id := range ids {
		codes[i].Code = b.code(id)
	}
	run(carPark, registry.Batch{Op: registry.OpTransfer}, codes)
	run(carPark, registry.Batch{Op: registry.OpDelete}, rowsOf(ids))
	run(carPark, registry.Batch{Op: registry.OpRestore}, rowsOf(ids))
	for _, id := range ids {
		d := b.device(id)
		require.Equal(t, carPark.Account, d.Sponsor)
		require.Len(t, b.profiles(id), 4)
		require.True(t, b.zone.has(b.profiles(id)[3].Name))
	}
	msgs, err := b.reg.Messages(t.Context(), carPark, "", 0)
	require.NoError(t, err)
	done := slices.DeleteFunc(msgs, func(m registry.Message) bool { return m.Type != registry.MessageJobDone })
	require.Len(t, done, 3)
}

// What a thief finds in the store is worth nothing, and wrong codes are counted
// when they are handed in.
func TestTransferJobKeepsNoCodes(t *testing.T) {
	t.Parallel()
	b := newBench(t, small)
	transfer.New(b.reg, transfer.Policy{})
	ids := b.active(4)
	rows := rowsOf(ids)
	var secrets []string
	for i, id := range ids {
		rows[i].Code = b.code(id)
		secrets = append(secrets, rows[i].Code.Reveal())
	}
	rows[2].Code = rows[1].Code
	j := b.submit(carPark, registry.Batch{Op: registry.OpTransfer}, rows)
	require.NoError(t, b.store.View(t.Context(), func(tx registry.Tx) error {
		for _, table := range registry.Tables() {
			recs, err := tx.List(t.Context(), table, registry.Query{})
			require.NoError(t, err)
			for _, rec := range recs {
				for _, s := range secrets {
					require.NotContains(t, string(rec.Body), s)
					require.NotContains(t, string(rec.Body), registryText(s))
				}
			}
		}
		return nil
	}))
	// Before the registry comes to it, the city changes its mind about one.
	b.code(ids[3])
	b.work(b.reg)
	results := b.results(carPark, j, 0)
	require.NoError(t, results[0].Err)
	require.NoError(t, results[1].Err)
	require.ErrorIs(t, results[2].Err, registry.ErrAuthCode)
	require.ErrorIs(t, results[3].Err, registry.ErrAuthCode)
	require.Equal(t, 2, b.job(j.ID).Failed)
}

// registryText is a code without its hyphens.
func registryText(s string) string {
	return string(slices.DeleteFunc([]byte(s), func(c byte) bool { return c == '-' }))
}

func TestSubmitIsRepeatable(t *testing.T) {
	t.Parallel()
	b := newBench(t, small)
	ids := b.active(5)
	actor := keyed(parko, "k")
	reset := registry.Batch{Op: registry.OpReset}

	broken := errors.New("the line went dead")
	_, err := b.reg.Submit(t.Context(), actor, reset, func(yield func(registry.Row, error) bool) {
		_ = yield(registry.Row{ID: ids[0]}, nil) && yield(registry.Row{ID: ids[1]}, nil) &&
			yield(registry.Row{ID: ids[2]}, nil) && yield(registry.Row{ID: ids[3]}, nil) && yield(registry.Row{}, broken)
	})
	require.ErrorIs(t, err, broken)
	require.Zero(t, b.work(b.reg), "a job without all its devices is not begun")

	first := b.submit(actor, reset, rowsOf(ids))
	b.work(b.reg)
	again := b.submit(actor, reset, rowsOf(ids))
	require.Equal(t, first.ID, again.ID)
	require.Equal(t, registry.JobDone, again.State)
	require.Zero(t, b.work(b.reg))
	require.Len(t, b.profiles(ids[0]), 2, "reset once")

	for _, c := range []struct {
		name  string
		batch registry.Batch
		rows  []registry.Row
	}{
		{"other devices", reset, rowsOf(ids[1:])},
		{"another operation", registry.Batch{Op: registry.OpActivate}, rowsOf(ids)},
		{"another option", registry.Batch{Op: registry.OpReset, Atomic: true}, rowsOf(ids)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.reg.Submit(t.Context(), actor, c.batch, each(c.rows))
			require.ErrorIs(t, err, registry.ErrKeyReused)
		})
	}
	other := b.submit(keyed(parko, "k2"), reset, rowsOf(ids))
	require.NotEqual(t, first.ID, other.ID)
}

// Jobs are forgotten with the answers to other calls, but not while they run.
func TestJobsAreForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t, small)
	ids := b.active(4)
	done := b.submit(keyed(parko, "k"), registry.Batch{Op: registry.OpReset}, rowsOf(ids))
	b.work(b.reg)
	running := b.submit(parko, registry.Batch{Op: registry.OpReset}, rowsOf(ids))
	_, err := b.reg.Submit(t.Context(), parko, registry.Batch{Op: registry.OpReset}, func(yield func(registry.Row, error) bool) {
		_ = yield(registry.Row{ID: ids[0]}, nil) && yield(registry.Row{}, errDown)
	})
	require.ErrorIs(t, err, errDown)
	left := func() (ids []string) {
		jobs, err := b.reg.Jobs(t.Context(), root, "", 0)
		require.NoError(t, err)
		for _, j := range jobs {
			ids = append(ids, j.ID)
		}
		return ids
	}
	require.Len(t, left(), 3)
	b.wait(registry.DefaultRequestTTL)
	_, err = b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	require.Equal(t, []string{running.ID}, left())
	_, err = b.reg.Job(t.Context(), parko, done.ID)
	require.ErrorIs(t, err, registry.ErrNoJob)
	b.work(b.reg)
	b.wait(24 * time.Hour)
	_, err = b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	require.Empty(t, left())
	require.NoError(t, b.store.View(t.Context(), func(tx registry.Tx) error {
		parts, err := tx.List(t.Context(), registry.TableParts, registry.Query{})
		require.Empty(t, parts)
		return err
	}))
}

func TestSubmitRefuses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(1)
	endless := func(yield func(registry.Row, error) bool) {
		for yield(registry.Row{ID: ids[0]}, nil) {
		}
	}
	for _, c := range []struct {
		name  string
		actor registry.Actor
		batch registry.Batch
		rows  iter.Seq2[registry.Row, error]
		want  error
	}{
		{"an owner does not activate", city, registry.Batch{Op: registry.OpActivate}, each(rowsOf(ids)), registry.ErrForbidden},
		{"an operator does not transfer", root, registry.Batch{Op: registry.OpTransfer}, each(rowsOf(ids)), registry.ErrForbidden},
		{"nobody does what there is not", parko, registry.Batch{Op: "explode"}, each(rowsOf(ids)), registry.ErrInvalid},
		{"all or none has a limit", parko, registry.Batch{Op: registry.OpActivate, Atomic: true}, endless, registry.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := b.reg.Submit(t.Context(), c.actor, c.batch, c.rows)
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestJobsAreTheirAccounts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	j := b.submit(parko, registry.Batch{Op: registry.OpActivate}, rowsOf(b.imported(1)))
	for _, actor := range []registry.Actor{carPark, city, telco} {
		_, err := b.reg.Job(t.Context(), actor, j.ID)
		require.ErrorIs(t, err, registry.ErrNoJob)
		_, err = b.reg.CancelJob(t.Context(), actor, j.ID)
		require.ErrorIs(t, err, registry.ErrNoJob)
		jobs, err := b.reg.Jobs(t.Context(), actor, "", 0)
		require.NoError(t, err)
		require.Empty(t, jobs)
		for _, err := range b.reg.JobResults(t.Context(), actor, j.ID, 0) {
			require.ErrorIs(t, err, registry.ErrNoJob)
		}
	}
	for _, actor := range []registry.Actor{parko, root, auditor} {
		jobs, err := b.reg.Jobs(t.Context(), actor, "", 0)
		require.NoError(t, err)
		require.Len(t, jobs, 1)
	}
	_, err := b.reg.CancelJob(t.Context(), auditor, j.ID)
	require.ErrorIs(t, err, registry.ErrNoJob, "an auditor changes nothing")
}

func TestCancelJob(t *testing.T) {
	t.Parallel()
	var b *bench
	var id string
	seen := 0
	b = newBench(t, small, func(c *registry.Config) {
		c.OnJob = func(j registry.Job) {
			if seen++; seen == 1 { // after the first part
				_, err := b.reg.CancelJob(context.Background(), parko, id)
				require.NoError(t, err)
			}
		}
	})
	ids := b.imported(8)
	j := b.submit(parko, registry.Batch{Op: registry.OpActivate}, rowsOf(ids))
	id = j.ID
	b.work(b.reg)
	j = b.job(j.ID)
	require.Equal(t, registry.JobCancelled, j.State)
	require.Equal(t, 3, j.Done)
	results := b.results(parko, j, 0)
	require.Len(t, results, 8)
	for i, r := range results {
		if i < 3 {
			require.NoError(t, r.Err)
			require.NotZero(t, b.device(r.Device).Profile)
		} else {
			require.ErrorIs(t, r.Err, registry.ErrCancelled)
			require.Zero(t, b.device(r.Device).Profile)
		}
	}
	require.Zero(t, b.owed())
	again, err := b.reg.CancelJob(t.Context(), parko, j.ID)
	require.NoError(t, err)
	require.Equal(t, j, again)
}

// Many processes work on one job: each part is done once.
func TestManyWorkers(t *testing.T) {
	t.Parallel()
	for name, open := range sharedStores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, small, func(c *registry.Config) { c.Store = open(t) })
			ids := b.active(30)
			j := b.submit(parko, registry.Batch{Op: registry.OpReset}, rowsOf(ids))
			parts := make([]int, 4)
			var wg sync.WaitGroup
			for i := range parts {
				reg := b.with(func(*registry.Config) {})
				wg.Go(func() { parts[i] = b.work(reg) })
			}
			wg.Wait()
			require.Equal(t, 10, parts[0]+parts[1]+parts[2]+parts[3])
			require.Equal(t, registry.JobDone, b.job(j.ID).State)
			for _, id := range ids {
				require.Len(t, b.profiles(id), 2)
			}
		})
	}
}

// A process that dies leaves its part to others, once its claim has run out, and
// what it has done of it is not done again.
func TestWorkerDies(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for crash := 0; ; crash++ {
				b := newBench(t, small, func(c *registry.Config) { c.Store, c.Orders, c.Workers = open(t), 1, 1 })
				ids := b.active(4)
				j := b.submit(parko, registry.Batch{Op: registry.OpReset}, rowsOf(ids))
				_, err := b.mortal(crash).Work(t.Context(), root)
				if err == nil {
					require.Greater(t, crash, 15)
					return
				}
				require.ErrorIs(t, err, errCrash)
				b.work(b.reg)
				b.wait(registry.DefaultLease)
				b.work(b.reg)
				require.Equal(t, registry.JobDone, b.job(j.ID).State, "crash %d", crash)
				_, err = b.reg.Resume(t.Context(), root)
				require.NoError(t, err)
				for i, r := range b.results(parko, j, 0) {
					require.NoError(t, r.Err, "crash %d", crash)
					require.Len(t, b.profiles(ids[i]), 2, "crash %d", crash)
					require.Equal(t, r.ProfileID, b.device(ids[i]).Profile)
				}
				require.Zero(t, b.owed(), "crash %d", crash)
			}
		})
	}
}

// All or none also holds where the last device is the wrong one.
func TestAtomicJob(t *testing.T) {
	t.Parallel()
	b := newBench(t, small)
	ids := append(b.imported(7), eid.MustParse("77"))
	j := b.submit(parko, registry.Batch{Op: registry.OpActivate, Atomic: true}, rowsOf(ids))
	require.Equal(t, 1, b.work(b.reg))
	results := b.results(parko, j, 0)
	require.ErrorIs(t, results[7].Err, registry.ErrNotFound)
	for _, r := range results[:7] {
		require.ErrorIs(t, r.Err, registry.ErrAborted)
		require.Zero(t, b.device(r.Device).Profile)
	}
	require.Equal(t, 8, b.job(j.ID).Failed)

	j = b.submit(parko, registry.Batch{Op: registry.OpActivate, Atomic: true}, rowsOf(ids[:7]))
	b.work(b.reg)
	require.Zero(t, b.job(j.ID).Failed)
}

// A process that cannot do something leaves it to one that can.
func TestNoHandler(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(1)
	rows := rowsOf(ids)
	rows[0].Code = b.code(ids[0])
	j := b.submit(carPark, registry.Batch{Op: registry.OpTransfer}, rows)
	require.Zero(t, b.work(b.reg))
	able := b.with(func(*registry.Config) {})
	transfer.New(able, transfer.Policy{})
	require.Equal(t, 1, b.work(able))
	require.NoError(t, b.results(carPark, j, 0)[0].Err)
}

// Run shares the work, finishes what fails at first, and ends with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	done := make(chan registry.Job, 1)
	b := newBench(t, small, func(c *registry.Config) {
		c.Now, c.Lease = time.Now, time.Millisecond
		c.OnJob = func(j registry.Job) {
			if j.State == registry.JobDone {
				done <- j
			}
		}
	})
	ids := b.imported(4)
	b.zone.set(true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.reg.Run(ctx, root, time.Millisecond) }()
	b.submit(parko, registry.Batch{Op: registry.OpActivate}, rowsOf(ids))
	require.Eventually(t, func() bool { return b.device(ids[0]).Profile != 0 }, 5*time.Second, time.Millisecond)
	b.zone.set(false)
	j := <-done
	require.Zero(t, j.Failed)
	cancel()
	require.NoError(t, <-ended)
	require.ErrorIs(t, b.reg.Run(t.Context(), parko, time.Second), registry.ErrForbidden)
	require.ErrorIs(t, b.reg.Run(t.Context(), root, 0), registry.ErrInvalid)
}

// A job waits for an operator that is down, and tells after a day what it is
// waiting for.
func TestJobWithOperatorDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		wait time.Duration
		back bool
	}{{"for a minute", time.Minute, true}, {"for a day", 24 * time.Hour, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, small)
			ids := b.imported(2)
			b.mno.set(true)
			j := b.submit(parko, registry.Batch{Op: registry.OpActivate}, rowsOf(ids))
			require.Zero(t, b.work(b.reg))
			require.Equal(t, registry.JobRunning, b.job(j.ID).State)
			b.wait(c.wait)
			b.mno.set(!c.back)
			require.Equal(t, 1, b.work(b.reg))
			require.Equal(t, registry.JobDone, b.job(j.ID).State)
			for _, r := range b.results(parko, j, 0) {
				if c.back {
					require.NoError(t, r.Err)
					continue
				}
				require.ErrorIs(t, r.Err, registry.ErrUndelivered)
				require.True(t, registry.Retryable(r.Err))
			}
			b.mno.set(false)
			_, err := b.reg.Resume(t.Context(), root)
			require.NoError(t, err)
			for _, id := range ids {
				require.Equal(t, registry.ProfileOrdered, b.profiles(id)[0].Status)
				require.Len(t, b.profiles(id), 1)
			}
		})
	}
}

func ExampleRegistry_Submit() {
	b := newBench(&testing.T{})
	ctx := context.Background()
	actor := registry.Actor{Account: "parkoserv", Role: registry.RoleASP, Key: "meters of 2026"}
	j, err := b.reg.Submit(ctx, actor, registry.Batch{Op: registry.OpActivate}, each(rowsOf(b.imported(3))))
	fmt.Println(j.State, j.Total, err)
	_, err = b.reg.Work(ctx, root) // or Run, in another process
	fmt.Println(err)
	for r, err := range b.reg.JobResults(ctx, actor, j.ID, 0) {
		fmt.Println(r.Device, r.ProfileID, r.Err, err)
	}
	// Output:
	// running 3 <nil>
	// <nil>
	// 1000000000000001 11 <nil> <nil>
	// 1000000000000002 12 <nil> <nil>
	// 1000000000000003 13 <nil> <nil>
}

// A result that is not there yet, or never will be, is no reason to panic.
func TestResultsBeyondTheEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	j, err := b.reg.Submit(t.Context(), parko, registry.Batch{Op: registry.OpReset}, func(yield func(registry.Row, error) bool) {
		yield(registry.Row{ID: eid.MustParse("1")}, nil)
	})
	require.NoError(t, err)
	_, err = b.reg.Work(t.Context(), root)
	require.NoError(t, err)
	for _, from := range []int{1, 2, 50, 1 << 30} {
		for res, err := range b.reg.JobResults(t.Context(), parko, j.ID, from) {
			t.Fatalf("from %d: %v %v", from, res, err)
		}
	}
}
