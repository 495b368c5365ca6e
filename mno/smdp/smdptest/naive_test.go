package smdptest_test

import (
	"context"
	"slices"
	"sync"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/smdp"
)

// naive is a store that is read line by line against the contract: one list that
// is searched from end to end. fault names the rule that it breaks.
type naive struct {
	fault string
	mu    sync.Mutex
	list  []smdp.Profile
}

func (s *naive) has(fault string) bool { return s.fault == fault }

func (s *naive) Find(ctx context.Context, q smdp.Query) (smdp.Profile, error) {
	if err := ctx.Err(); err != nil && !s.has("does not look at contexts") {
		return smdp.Profile{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	best := -1
	for i, p := range s.list {
		if s.answers(p, q) && (best < 0 || s.before(p, s.list[best])) {
			best = i
		}
	}
	if best < 0 {
		return smdp.Profile{}, smdp.ErrNotFound
	}
	p := s.list[best]
	if s.has("forgets the failure") {
		p.Failure = nil
	}
	if s.has("keeps seconds") {
		p.Changed = p.Changed.Truncate(1e9)
	}
	if s.has("makes empty of nil") && p.CodeHash == nil {
		p.CodeHash = []byte{}
	}
	if s.has("cuts packages") {
		p.Download.Bound = p.Download.Bound[:min(len(p.Download.Bound), 1<<16)]
	}
	return p, nil
}

func (s *naive) answers(p smdp.Profile, q smdp.Query) bool {
	switch {
	case s.has("takes the last that is set") && q.Transaction != "":
		return slices.Contains(p.Download.Transactions, q.Transaction)
	case q.ICCID != "":
		return p.ICCID == q.ICCID
	case q.MatchingID != "":
		return p.MatchingID == q.MatchingID
	case !q.Device.IsZero() && s.has("ignores profile IDs"):
		return p.Device == q.Device && p.ProfileID != 0
	case !q.Device.IsZero():
		return p.Device == q.Device && p.ProfileID != 0 && (q.ProfileID == 0 || p.ProfileID == q.ProfileID)
	case !q.EUICC.IsZero():
		ready := p.State == mno.Released || p.State == mno.Downloaded && !s.has("forgets what was downloaded")
		return p.EUICC == q.EUICC && ready && (p.ProfileID != 0 || p.ByDevice || s.has("gives out what needs a matching ID"))
	default:
		return slices.Contains(p.Download.Transactions, q.Transaction)
	}
}

// before is the order of a device's and of an eUICC's profiles.
func (s *naive) before(p, o smdp.Profile) bool {
	switch {
	case p.ProfileID == o.ProfileID:
		return p.ICCID < o.ICCID != s.has("takes the highest ICCID")
	case s.has("counts with signs"):
		return int64(p.ProfileID) > int64(o.ProfileID)
	}
	return p.ProfileID > o.ProfileID
}

func (s *naive) Put(ctx context.Context, ps ...smdp.Profile) error {
	if err := ctx.Err(); err != nil && !s.has("does not look at contexts") {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.Clone(s.list)
	for i, p := range ps {
		at := slices.IndexFunc(s.list, func(o smdp.Profile) bool { return o.ICCID == p.ICCID })
		if !s.allowed(p, at) || slices.ContainsFunc(ps[:i], func(o smdp.Profile) bool { return o.ICCID == p.ICCID || s.clash(o, p) }) {
			if s.has("keeps the first half") {
				s.list = next
			}
			return smdp.ErrChanged
		}
		if p.Version++; s.has("counts by two") {
			p.Version++
		}
		if at < 0 {
			next = append(next, p)
			continue
		}
		if s.has("never forgets a transaction") {
			p.Download.Transactions = append(slices.Clone(p.Download.Transactions), next[at].Download.Transactions...)
		}
		next[at] = p
	}
	s.list = next
	return nil
}

// allowed reports whether p may be put where at is.
func (s *naive) allowed(p smdp.Profile, at int) bool {
	stored := uint64(0)
	if at >= 0 {
		stored = s.list[at].Version
	}
	if p.Version != stored && !s.has("takes any version") {
		return false
	}
	return !slices.ContainsFunc(s.list, func(o smdp.Profile) bool { return o.ICCID != p.ICCID && s.clash(o, p) })
}

func (s *naive) clash(a, b smdp.Profile) bool {
	return a.MatchingID == b.MatchingID && (a.MatchingID != "" || s.has("takes no matching ID for one")) && !s.has("takes a matching ID twice") ||
		a.ProfileID != 0 && a.ProfileID == b.ProfileID && a.Device == b.Device && !s.has("takes a profile ID twice")
}

// racy reads versions a moment before it writes.
type racy struct{ *naive }

func (s racy) Put(ctx context.Context, ps ...smdp.Profile) error {
	fresh := slices.Clone(ps)
	for i, p := range ps {
		stored, err := s.Find(ctx, smdp.Query{ICCID: p.ICCID})
		if err == nil && p.Version <= stored.Version && p.Version != 0 {
			fresh[i].Version = stored.Version
		}
	}
	return s.naive.Put(ctx, fresh...)
}
