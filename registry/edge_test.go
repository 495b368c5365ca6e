package registry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// hookedMNO lets a test look into, or spoil, the moment of an order.
type hookedMNO struct {
	mno.Operator
	after func(mno.Order, mno.Receipt) error
}

func (o hookedMNO) Order(ctx context.Context, order mno.Order) (mno.Receipt, error) {
	r, err := o.Operator.Order(ctx, order)
	if err == nil {
		err = o.after(order, r)
	}
	return r, err
}

// hookedZone does the same for zone changes.
type hookedZone struct {
	publish.Publisher
	before func(publish.ChangeSet) error
}

func (z hookedZone) Publish(ctx context.Context, c publish.ChangeSet) (publish.Receipt, error) {
	if err := z.before(c); err != nil {
		return publish.Receipt{}, err
	}
	return z.Publisher.Publish(ctx, c)
}

// with returns another registry on b's store.
func (b *bench) with(change func(*registry.Config)) *registry.Registry {
	cfg := b.reg.Config
	change(&cfg)
	reg, err := registry.New(cfg)
	require.NoError(b.t, err)
	return reg
}

func (b *bench) owed() (n int) {
	require.NoError(b.t, b.store.View(context.Background(), func(tx registry.Tx) error {
		work, err := tx.List(context.Background(), registry.TableWork, registry.Query{})
		n = len(work)
		return err
	}))
	return n
}

// A device cannot have connected with a profile that was never in the zone:
// believing it would withdraw the record the device lives on.
func TestConfirmedTooEarly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	code := b.code(id)
	b.zone.set(true)
	_, err := b.reg.Move(t.Context(), carPark, []registry.Move{{Device: id, Code: code}}, registry.MoveOptions{})
	require.ErrorIs(t, err, errDown)
	b.zone.set(false)
	confirm := registry.Confirmation{Device: id, ProfileID: 12}
	results, err := b.reg.Confirm(t.Context(), carPark, confirm)
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrState)
	require.ErrorIs(t, b.reg.Progress(t.Context(), telco, mno.Progress{Device: id, ProfileID: 12, Point: mno.PointInstall}), registry.ErrNotFound)
	require.True(t, b.zone.has(b.profiles(id)[0].Name))

	_, err = b.reg.Resume(t.Context(), root)
	require.NoError(t, err)
	require.True(t, b.zone.has(b.profiles(id)[1].Name))
	results, err = b.reg.Confirm(t.Context(), carPark, confirm)
	b.allDone(results, err)
	require.False(t, b.zone.has(b.profiles(id)[0].Name))
	require.Zero(t, b.owed())
}

// The operator's news may be faster than the record of its receipt.
func TestProgressOvertakesTheReceipt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.imported(1)[0]
	reports := 0
	reg := b.with(func(c *registry.Config) {
		c.Operators = map[string]mno.Operator{telco.Account: hookedMNO{b.mno, func(o mno.Order, r mno.Receipt) error {
			reports++
			err := b.reg.Progress(t.Context(), telco, mno.Progress{Device: id, ICCID: r.ICCID, Point: mno.PointDownload})
			require.ErrorIs(t, err, registry.ErrState)
			require.NotErrorIs(t, err, mno.ErrUnknownICCID, "the SM-DP+ must say it again")
			require.Error(t, b.reg.Progress(t.Context(), telco, mno.Progress{Device: id, Point: mno.PointInstall}), "no number at all")
			return b.reg.Progress(t.Context(), telco, mno.Progress{Device: id, ProfileID: o.ProfileID, Point: mno.PointDownload})
		}}}
	})
	results, err := reg.Activate(t.Context(), parko, registry.Options{}, id)
	b.allDone(results, err)
	require.Equal(t, 1, reports)
	p := b.profiles(id)[0]
	require.Equal(t, registry.ProfileDownloaded, p.Status)
	require.NotEmpty(t, p.Receipt.ICCID)
	require.Zero(t, b.owed())
}

// One bad report must not cost the good ones that came with it.
func TestProgressGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	err := b.reg.Progress(t.Context(), telco,
		mno.Progress{Device: eid.MustParse("77"), ProfileID: 1, Point: mno.PointDownload},
		mno.Progress{Device: ids[0], ProfileID: 11, Point: mno.PointDownload},
		mno.Progress{Device: ids[1], ProfileID: 11, Point: mno.PointDownload},
		mno.Progress{Device: ids[1], ProfileID: 12, Point: mno.PointInstall},
	)
	require.ErrorIs(t, err, registry.ErrNotFound)
	require.Equal(t, registry.ProfileDownloaded, b.profiles(ids[0])[0].Status)
	require.Equal(t, registry.ProfileInstalled, b.profiles(ids[1])[0].Status)
}

// An order that failed or was closed before its receipt was recorded can never
// be had again: nothing is owed any more, and activating again replaces it.
func TestOrderIsLostForGood(t *testing.T) {
	t.Parallel()
	lost := errors.New("answer lost")
	for name, spoil := range map[string]func(*bench, mno.Order) error{
		"the installation failed": func(b *bench, o mno.Order) error {
			failure := &mno.StatusError{Subject: "8.2.10", Reason: "4.2"}
			require.NoError(b.t, b.reg.Progress(context.Background(), telco,
				mno.Progress{Device: o.Device, ProfileID: o.ProfileID, Point: mno.PointInstall, Failure: failure}))
			return lost
		},
		"the operator closed it": func(*bench, mno.Order) error {
			return fmt.Errorf("es2: %w", mno.ErrOrderClosed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			id := b.imported(1)[0]
			reg := b.with(func(c *registry.Config) {
				c.Operators = map[string]mno.Operator{telco.Account: hookedMNO{b.mno, func(o mno.Order, _ mno.Receipt) error {
					return spoil(b, o)
				}}}
			})
			results, err := reg.Activate(t.Context(), parko, registry.Options{}, id)
			require.NoError(t, err)
			require.ErrorIs(t, results[0].Err, registry.ErrUndelivered)
			_, err = reg.Resume(t.Context(), root)
			require.NoError(t, err)
			require.Zero(t, b.owed(), "nothing to try for ever")
			require.Equal(t, registry.ProfileFailed, b.profiles(id)[0].Status)

			results, err = b.reg.Activate(t.Context(), parko, registry.Options{}, id)
			b.allDone(results, err)
			require.Equal(t, uint64(12), results[0].ProfileID)
			results, err = b.reg.Confirm(t.Context(), parko, registry.Confirmation{Device: id, ProfileID: 12})
			b.allDone(results, err)
			require.False(t, b.zone.has(b.profiles(id)[0].Name), "the failed profile's record goes as well")
			require.Zero(t, b.owed())
		})
	}
}

// What is named twice is treated the same however far apart it stands.
func TestNamedTwiceInDifferentBatches(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Batch = 2 })
	rows := b.claim(3)
	twice := append(rows, rows[0])
	in := registry.Import{Owner: city.Account, MNO: telco.Account, Rows: twice, DryRun: true}
	for _, in.DryRun = range []bool{true, false} {
		results, err := b.reg.Import(t.Context(), parko, in)
		require.NoError(t, err)
		require.Len(t, registry.Failed(results), 1)
		require.ErrorIs(t, results[3].Err, registry.ErrExists)
	}
	var ids []eid.ID
	for _, row := range twice {
		ids = append(ids, row.ID)
	}
	results, err := b.reg.Activate(t.Context(), parko, registry.Options{}, ids...)
	require.NoError(t, err)
	require.Len(t, registry.Failed(results), 1)
	require.ErrorIs(t, results[3].Err, registry.ErrInvalid)

	codes, err := b.reg.IssueCodes(t.Context(), city, ids...)
	require.NoError(t, err)
	require.Equal(t, codes[0], codes[3])
	var moves []registry.Move
	for i, c := range codes {
		moves = append(moves, registry.Move{Line: i, Device: c.Device, Code: c.Code})
	}
	results, err = b.reg.Move(t.Context(), carPark, moves, registry.MoveOptions{})
	require.NoError(t, err)
	require.Len(t, registry.Failed(results), 1)
	require.ErrorIs(t, results[3].Err, registry.ErrInvalid)
	require.Equal(t, 3, results[3].Line)

	var cs []registry.Confirmation
	for i, id := range ids {
		cs = append(cs, registry.Confirmation{Device: id, ProfileID: results[i%3].ProfileID})
	}
	results, err = b.reg.Confirm(t.Context(), carPark, cs...)
	b.allDone(results, err)
	require.Zero(t, b.owed())
}

func TestEmptyCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx := t.Context()
	calls := map[string]func() (int, error){
		"import": func() (int, error) {
			rs, err := b.reg.Import(ctx, parko, registry.Import{Owner: city.Account, Atomic: true})
			return len(rs), err
		},
		"file":     func() (int, error) { rs, err := b.reg.File(ctx, maker, nil); return len(rs), err },
		"activate": func() (int, error) { rs, err := b.reg.Activate(ctx, parko, registry.Options{}); return len(rs), err },
		"codes":    func() (int, error) { rs, err := b.reg.IssueCodes(ctx, city); return len(rs), err },
		"confirm":  func() (int, error) { rs, err := b.reg.Confirm(ctx, parko); return len(rs), err },
		"progress": func() (int, error) { return 0, b.reg.Progress(ctx, telco) },
		"move": func() (int, error) {
			rs, err := b.reg.Move(ctx, carPark, nil, registry.MoveOptions{})
			return len(rs), err
		},
	}
	for name, call := range calls {
		n, err := call()
		require.NoError(t, err, name)
		require.Zero(t, n, name)
	}
}

// A call that fails in the middle says so of every device that it leaves
// undone, and of no other.
func TestEveryResultOfABrokenCall(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Batch = 2 })
	ids := b.imported(5)
	changes := 0
	reg := b.with(func(c *registry.Config) {
		c.Publisher = hookedZone{b.zone, func(publish.ChangeSet) error {
			if changes++; changes == 2 {
				return errDown
			}
			return nil
		}}
	})
	results, err := reg.Activate(t.Context(), parko, registry.Options{}, ids...)
	require.ErrorIs(t, err, errDown)
	require.NoError(t, results[0].Err)
	require.NoError(t, results[1].Err)
	for i, r := range results {
		require.Equal(t, ids[i], r.Device)
	}
	for _, r := range results[2:] {
		require.ErrorIs(t, r.Err, errDown)
	}
	results, err = b.reg.Activate(t.Context(), parko, registry.Options{}, ids...)
	b.allDone(results, err)

	// The codes of the first batch are drawn, so their owner must get them.
	f := &fuse{left: 3}
	dying := b.with(func(c *registry.Config) { c.Store = mortalStore{b.store, f} })
	codes, err := dying.IssueCodes(t.Context(), city, ids...)
	require.ErrorIs(t, err, errCrash)
	require.Len(t, codes, 5)
	require.NoError(t, codes[1].Err)
	for i, c := range codes[2:] {
		require.ErrorIs(t, c.Err, errCrash)
		require.True(t, c.Code.IsZero(), "one that may not be recorded")
		require.Equal(t, ids[i+2], c.Device)
	}
	require.NoError(t, b.move(carPark, ids[1], codes[1].Code).Err)

	f.left = 1
	moved, err := dying.Move(t.Context(), carPark, []registry.Move{{Line: 7, Device: ids[0], Code: codes[0].Code}}, registry.MoveOptions{})
	require.ErrorIs(t, err, errCrash)
	require.ErrorIs(t, moved[0].Err, errCrash)
	require.Equal(t, 7, moved[0].Line)
	f.left = 1
	confirmed, err := dying.Confirm(t.Context(), carPark, registry.Confirmation{Device: ids[1], ProfileID: 16})
	require.ErrorIs(t, err, errCrash)
	require.ErrorIs(t, confirmed[0].Err, errCrash)
}

// What cannot be published must not keep records in the zone that have to go.
func TestResumeGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Overlap = time.Hour })
	ids := b.active(2)
	require.NoError(t, b.move(carPark, ids[0], b.code(ids[0])).Err)
	reg := b.with(func(c *registry.Config) {
		c.Publisher = hookedZone{b.zone, func(c publish.ChangeSet) error {
			if len(c.Add) > 0 {
				return errDown
			}
			return nil
		}}
	})
	code := b.code(ids[1])
	_, err := reg.Move(t.Context(), carPark, []registry.Move{{Device: ids[1], Code: code}}, registry.MoveOptions{})
	require.ErrorIs(t, err, errDown)
	b.wait(time.Hour)
	n, err := reg.Resume(t.Context(), root)
	require.ErrorIs(t, err, errDown)
	require.Equal(t, 2, n)
	require.False(t, b.zone.has(b.profiles(ids[0])[0].Name))
}

// Withdrawing an old profile is no reason to refuse a move that is under way.
func TestMoveBesideAWithdrawal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	require.NoError(t, b.move(carPark, id, b.code(id)).Err)
	code := b.code(id)
	reg := b.with(func(c *registry.Config) {
		c.Trace = func(step string, _ int, _ time.Duration) {
			if step == "build" {
				results, err := b.reg.Confirm(t.Context(), carPark, registry.Confirmation{Device: id, ProfileID: 12})
				b.allDone(results, err)
			}
		}
	})
	results, err := reg.Move(t.Context(), parko, []registry.Move{{Device: id, Code: code}}, registry.MoveOptions{})
	b.allDone(results, err)
	require.Equal(t, []uint64{12}, b.device(id).Retired)
}

// A republished record that was withdrawn meanwhile does not come back.
func TestRepublishBesideAWithdrawal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	require.NoError(t, b.move(carPark, id, b.code(id)).Err)
	once := true
	reg := b.with(func(c *registry.Config) {
		c.Publisher = hookedZone{b.zone, func(publish.ChangeSet) error {
			if once {
				once = false
				results, err := b.reg.Confirm(t.Context(), carPark, registry.Confirmation{Device: id, ProfileID: 12})
				b.allDone(results, err)
			}
			return nil
		}}
	})
	_, err := reg.Republish(t.Context(), root)
	require.NoError(t, err)
	require.False(t, b.zone.has(b.profiles(id)[0].Name))
	require.True(t, b.zone.has(b.profiles(id)[1].Name))
}

func TestNewRefusesNegatives(t *testing.T) {
	t.Parallel()
	whole := newBench(t).reg.Config
	for name, change := range map[string]func(*registry.Config){
		"Batch": func(c *registry.Config) { c.Batch = -1 }, "Workers": func(c *registry.Config) { c.Workers = -1 },
		"Orders": func(c *registry.Config) { c.Orders = -1 }, "Overlap": func(c *registry.Config) { c.Overlap = -1 },
		"CodeTTL": func(c *registry.Config) { c.CodeTTL = -1 }, "Validity": func(c *registry.Config) { c.Validity = -1 },
	} {
		cfg := whole
		change(&cfg)
		_, err := registry.New(cfg)
		require.ErrorIs(t, err, registry.ErrInvalid, name)
		require.ErrorContains(t, err, name)
	}
}

// A code hides in other people's structures too, where package fmt may not call
// its methods.
func TestAuthCodeHidesInPrivateFields(t *testing.T) {
	t.Parallel()
	code, err := registry.ParseAuthCode("ABCDE-FGHJK-MNPQR-STVWX-YZ012-3")
	require.NoError(t, err)
	type theirs struct{ code registry.AuthCode }
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", theirs{code}, theirs{code}, &theirs{code}), "ABCDE")
	require.Equal(t, "ABCDE-FGHJK-MNPQR-STVWX-YZ012-3", code.Reveal())
}

// A slow process finds that what it was publishing is history: the record goes
// again, and no order follows. Where it dies before it finds out, the record
// goes at the end of the overlap.
func TestPublishingWhatWasWithdrawnMeanwhile(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]bool{"lives": false, "dies": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			id := b.imported(1)[0]
			code := b.code(id)
			b.zone.set(true)
			_, err := b.reg.Activate(t.Context(), parko, registry.Options{}, id)
			require.ErrorIs(t, err, errDown)
			b.zone.set(false)
			f := &fuse{left: forever}
			once := true
			slow := b.with(func(c *registry.Config) {
				c.Store = mortalStore{b.store, f}
				c.Publisher = hookedZone{b.zone, func(publish.ChangeSet) error {
					if once {
						once = false
						require.NoError(t, b.move(carPark, id, code).Err)
						results, err := b.reg.Confirm(t.Context(), carPark, registry.Confirmation{Device: id, ProfileID: 12})
						b.allDone(results, err)
						if dies {
							f.left = 0
						}
					}
					return nil
				}}
			})
			_, err = slow.Resume(t.Context(), root)
			ps := b.profiles(id)
			if dies {
				require.ErrorIs(t, err, errCrash)
				require.True(t, b.zone.has(ps[0].Name), "nobody knows that it is there")
				b.wait(registry.DefaultOverlap)
				_, err = b.reg.Resume(t.Context(), root)
			}
			require.NoError(t, err)
			require.Equal(t, registry.ProfileRevoked, ps[0].Status)
			require.False(t, b.zone.has(ps[0].Name))
			require.True(t, b.zone.has(ps[1].Name))
			for _, o := range b.mno.orders {
				require.Equal(t, uint64(12), o.ProfileID)
			}
			b.wait(registry.DefaultOverlap)
			_, err = b.reg.Resume(t.Context(), root)
			require.NoError(t, err)
			require.Zero(t, b.owed())
		})
	}
}

// A code that its owner replaces while the profile is being made is void.
func TestCodeReplacedDuringAMove(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	code := b.code(id)
	reg := b.with(func(c *registry.Config) {
		c.Trace = func(step string, _ int, _ time.Duration) {
			if step == "build" {
				b.code(id)
			}
		}
	})
	results, err := reg.Move(t.Context(), carPark, []registry.Move{{Device: id, Code: code}}, registry.MoveOptions{})
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Err, registry.ErrAuthCode)
	require.Equal(t, parko.Account, b.device(id).Sponsor)
}
