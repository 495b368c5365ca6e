package sdk_test

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc"
)

// Whatever is asked for, lost, cut and started anew, and in whatever order: once
// the trouble is over, each order that still stands is installed and enabled, and
// the eUICCs are as the proven jobs, done one after the other, leave them. This
// is not parallel, for the same dice to fall the same way each time.
func TestFleetModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, seed)
			f := newFleet(t, seed, 3)
			defer func() {
				if t.Failed() {
					for _, line := range f.log {
						t.Log(line)
					}
				}
			}()
			for range 3 {
				for range 30 {
					f.step()
				}
				f.settle()
			}
		})
	}
}

func (f *fleet) note(format string, args ...any) { f.log = append(f.log, fmt.Sprintf(format, args...)) }

// step does something at random.
func (f *fleet) step() {
	f.deaf = true
	f.now = f.now.Add(time.Duration(f.dice.IntN(400)) * time.Second)
	n := f.dice.IntN(len(f.units))
	u := f.units[n]
	switch what := f.dice.IntN(24); what {
	case 0, 1, 2:
		u.order()
		f.note("%d order %s", n, u.ordered[len(u.ordered)-1].ICCID)
	case 3, 4:
		f.note("%d manage", n)
		u.manage()
	case 5:
		f.note("%d cancel job", n)
		u.cancelJob()
	case 6:
		f.note("%d cancel order", n)
		u.cancelOrder()
	case 7:
		f.note("%d restore", n)
		state, err := u.chip.Snapshot()
		require.NoError(f.t, err)
		u.insert(state)
		again, err := u.chip.Snapshot()
		require.NoError(f.t, err)
		require.Equal(f.t, string(state), string(again))
	case 8:
		u.chip.Reset()
		u.boot()
	case 9:
		f.startSMDP()
	case 10:
		f.startEIM()
	case 11:
		f.arrive()
	case 12:
		b, err := u.ipa.LPA.Command(f.t.Context(), "ProfileRollback", []byte{0xBF, 0x58, 3, 0x80, 1, 0})
		require.NoError(f.t, err)
		f.note("%d rollback: %t", n, len(b) > 10)
	default:
		u.trouble = trouble{kind: kind(f.dice.IntN(int(kinds) + 3)), at: 1 + f.dice.IntN(25)}
		if u.trouble.kind <= noAnswer {
			u.trouble.at = 1 + f.dice.IntN(250)
		}
		u.poll(n)
	}
	for _, u := range f.units {
		u.check()
	}
}

func (u *unit) order() {
	f, number := u.f, uint64(len(u.ordered)+11)
	key := newKey(f.t)
	name := fmt.Sprintf("%d.%s.%s", number, u.cfg.EID, downloadRegistry)
	cert, err := f.authority.Issue(profile.Request{Name: name, Device: u.cfg.EID, PublicKey: key.Public(), NotAfter: f.now.AddDate(1, 0, 0)})
	require.NoError(f.t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(f.t, err)
	sealed, err := f.authority.Seal(u.card.PublicKey(), &profile.Profile{
		ID: number, Device: u.cfg.EID, Registry: downloadRegistry, Name: name, Host: "parkoserv.ca", Port: 443,
		Certificate: cert, PrivateKey: pkcs8, CACertificates: f.authority.Chain(), NotBefore: f.now, NotAfter: f.now.AddDate(1, 0, 0),
	})
	require.NoError(f.t, err)
	r, err := f.engine.Operator("registry").Order(f.t.Context(), mno.Order{Device: u.cfg.EID, ProfileID: number, Sealed: sealed, ProfileType: "iot"})
	require.NoError(f.t, err)
	u.ordered = append(u.ordered, r)
}

// manage has profiles managed that the eIM may know of.
func (u *unit) manage() {
	iccid := "8944476500001224158"
	if n := len(u.ordered); n > 0 && u.f.dice.IntN(8) > 0 {
		iccid = u.ordered[u.f.dice.IntN(n)].ICCID
	}
	steps := []eim.Operation{
		eim.List{}, eim.Disable{ICCID: iccid}, eim.Enable{ICCID: iccid}, eim.Enable{ICCID: iccid, Rollback: true},
		eim.Delete{ICCID: iccid}, eim.SetDefaultSMDP{Address: "smdp.example"},
	}
	first := u.f.dice.IntN(len(steps))
	last := min(len(steps), first+1+u.f.dice.IntN(3))
	_, err := u.f.eim.Manage(u.f.t.Context(), u.cfg.EID, steps[first:last]...)
	require.NoError(u.f.t, err)
}

func (u *unit) cancelJob() {
	status, err := u.f.eim.Status(u.f.t.Context(), u.cfg.EID)
	if errors.Is(err, esipa.ErrUnknownEID) || err == nil && len(status.Waiting) == 0 {
		return
	}
	require.NoError(u.f.t, err)
	j := status.Waiting[u.f.dice.IntN(len(status.Waiting))]
	u.f.note("cancelled %s", j.ID)
	u.given[j.ID] = true
	require.NoError(u.f.t, u.f.eim.Cancel(u.f.t.Context(), u.cfg.EID, j.ID))
}

func (u *unit) cancelOrder() {
	if n := len(u.ordered); n > 0 {
		r := u.ordered[u.f.dice.IntN(n)]
		if u.f.engine.Operator("registry").Cancel(u.f.t.Context(), r) == nil {
			u.given[r.ICCID] = true
		}
	}
}

// poll is one Poll, and what follows a loss of power.
func (u *unit) poll(n int) {
	report, err := u.ipa.Poll(u.f.t.Context())
	x := u.trouble
	u.f.note("%d poll with trouble %d at %d of %d:\n%v\n%v", n, x.kind, x.at, x.count, report, err)
	u.trouble = trouble{}
	if !x.off {
		return
	}
	switch {
	case u.f.dice.IntN(2) == 0:
		u.chip.Reset()
		u.boot()
	case x.before != nil && u.f.dice.IntN(2) == 0:
		u.insert(x.before) // what was done was not filed, and nobody has its answer
	default:
		state, err := u.chip.Snapshot()
		require.NoError(u.f.t, err)
		u.insert(state)
	}
}

// check is what holds at any time.
func (u *unit) check() {
	t := u.f.t
	var enabled []euicc.ProfileState
	for _, p := range u.chip.Profiles() {
		if p.Enabled {
			enabled = append(enabled, p)
		}
		require.LessOrEqual(t, p.IoT.ID, u.card.Newest())
	}
	require.LessOrEqual(t, len(enabled), 1)
	current, ok := u.card.Current()
	require.Equal(t, len(enabled) == 1, ok)
	if ok {
		require.Equal(t, enabled[0].IoT.ID, current.ID)
	}
}

// arrive has one request arrive that was late.
func (f *fleet) arrive() bool {
	if len(f.late) == 0 {
		return false
	}
	n := f.dice.IntN(len(f.late))
	f.note("late request arrives")
	f.late[n]()
	f.late = slices.Delete(f.late, n, n+1)
	return true
}

// settle has everybody do what is left to do, and compares.
func (f *fleet) settle() {
	f.note("settle")
	f.deaf = false
	for range 2 {
		for n, u := range f.units {
			u.rest(n)
		}
		for f.arrive() {
		}
	}
	for _, u := range f.units {
		u.compare()
	}
}

// rest polls until there is nothing more to do, and tells what there is.
func (u *unit) rest(n int) {
	f := u.f
	f.deaf = false
	if _, err := f.eim.Manage(f.t.Context(), u.cfg.EID, eim.List{}); err != nil {
		f.t.Fatal(err)
	}
	u.trouble = trouble{kind: kinds}
	for left := 150; ; left-- {
		require.Positive(f.t, left, "device %d polls for ever", n)
		f.now = f.now.Add(time.Minute)
		report, err := u.ipa.Poll(f.t.Context())
		f.note("%d: %v\n%v", n, report, err)
		u.check()
		if err == nil && len(report.Packages) == 0 && report.Notified == 0 {
			return
		}
	}
}

// compare looks whether all is as it should be.
func (u *unit) compare() {
	t := u.f.t
	status, err := u.f.eim.Status(t.Context(), u.cfg.EID)
	if errors.Is(err, esipa.ErrUnknownEID) {
		require.Empty(t, u.chip.Profiles())
		return
	}
	require.NoError(t, err)
	require.Empty(t, status.Waiting)
	want, enabled := u.replay(status.Done)
	have := map[string]bool{}
	for _, p := range u.chip.Profiles() {
		if have[p.ICCID] = true; want[p.ICCID] == maybe {
			want[p.ICCID] = present
		}
		require.Equal(t, p.ICCID == enabled, p.Enabled, "%s", p.ICCID)
	}
	for iccid, is := range want {
		require.Equal(t, is == present, have[iccid], "%s", iccid)
	}
	require.Len(t, have, len(slices.DeleteFunc(slices.Collect(maps.Values(want)), func(p presence) bool { return p != present })))
	for _, p := range status.Profiles {
		require.True(t, have[p.ICCID], "listed, but not there: %s", p.ICCID)
		require.Equal(t, p.ICCID == enabled, p.Enabled, "listed: %s", p.ICCID)
	}
	require.Len(t, status.Profiles, len(have))
	u.stands(status)
	u.told(status)
}

// presence is whether a profile is on an eUICC. A device that had a download
// before it was cancelled may have done it, and not have told.
type presence int

const (
	absent presence = iota
	maybe
	present
)

// replay does what the eUICC has proven.
func (u *unit) replay(done []eim.Job) (installed map[string]presence, enabled string) {
	t := u.f.t
	installed = map[string]presence{}
	for _, j := range done {
		if j.Download != nil && !j.Proven && u.given[j.ID] {
			installed[j.Download.ICCID] = maybe
		}
	}
	done = slices.DeleteFunc(slices.Clone(done), func(j eim.Job) bool { return j.Sequence == nil })
	slices.SortFunc(done, func(a, b eim.Job) int { return cmp.Compare(*a.Sequence, *b.Sequence) })
	counters := map[int64]bool{}
	for n, j := range done {
		require.True(t, j.Proven)
		require.True(t, n == 0 || *done[n-1].Sequence < *j.Sequence, "a number was used twice")
		if j.Download != nil {
			if j.State == eim.Succeeded {
				require.Equal(t, absent, installed[j.ICCID])
				installed[j.ICCID] = present
			}
			continue
		}
		require.False(t, counters[j.Counter], "a counter was used twice")
		counters[j.Counter] = true
		for _, s := range j.Steps {
			switch {
			case !s.Tried || s.Code != 0:
			case s.Action == eim.ActionEnable:
				require.NotEqual(t, absent, installed[s.ICCID])
				enabled, installed[s.ICCID] = s.ICCID, present
			case s.Action == eim.ActionDisable:
				require.Equal(t, enabled, s.ICCID)
				enabled = ""
			case s.Action == eim.ActionDelete:
				require.NotEqual(t, absent, installed[s.ICCID])
				installed[s.ICCID] = absent
			}
		}
	}
	return installed, enabled
}

// stands looks whether each order that nobody has taken back has come to its end.
func (u *unit) stands(status eim.Status) {
	t := u.f.t
	for _, r := range u.ordered {
		p, err := u.f.engine.Profile(t.Context(), r.ICCID)
		require.NoError(t, err)
		i := slices.IndexFunc(status.Done, func(j eim.Job) bool { return j.Download != nil && j.Download.ICCID == r.ICCID })
		require.GreaterOrEqual(t, i, 0)
		j := status.Done[i]
		if u.given[r.ICCID] || u.given[j.ID] || p.State == mno.Unavailable {
			continue
		}
		require.Equal(t, mno.Installed, p.State, "%s: %v", r.ICCID, p.Failure)
		require.Equal(t, eim.Succeeded, j.State, "%s: %s", r.ICCID, j.Failure)
		require.Equal(t, r.ICCID, j.ICCID)
		follow := slices.DeleteFunc(slices.Clone(status.Done), func(x eim.Job) bool { return x.Parent != j.ID })
		require.Len(t, follow, 1)
		if !u.given[follow[0].ID] {
			require.Equal(t, eim.Succeeded, follow[0].State, "%s: %s", r.ICCID, follow[0].Failure)
		}
	}
}

// told looks whether the operator's last news of each job are how it ended.
func (u *unit) told(status eim.Status) {
	t := u.f.t
	for _, j := range status.Done {
		list := u.f.news[j.ID]
		if len(list) == 0 {
			require.True(t, u.given[j.ID], "no news of %+v", j)
			continue
		}
		last := list[len(list)-1]
		require.Equal(t, j.State, last.Job.State)
		require.Equal(t, j.Steps, last.Job.Steps)
		require.Equal(t, u.cfg.EID, last.EID)
	}
}
