package dnssec_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// TestLabBeside puts a broken copy of a message beside the good one, as a
// race with a forger leaves them.
func TestLabBeside(t *testing.T) {
	t.Parallel()
	l := labOttawa(t)
	anchors := l.anchors(t)
	secure, count := 0, 0
	for _, q := range labQuestions[:14] {
		c := l.gather(t, q.name, q.typ)
		for _, what := range []string{"rdata", "second record", "flip signature", "no types", "wide NSEC", "signer parent"} {
			c.each(func(i, section, k int) {
				bad := c.msgs[i].Copy()
				list := labSection(bad, section)
				changed := labMutators[what](l, (*list)[k])
				if changed == nil {
					return
				}
				*list = slices.Replace(*list, k, k+1, changed...)
				for _, msgs := range [][]*dns.Msg{append(slices.Clone(c.msgs), bad), append([]*dns.Msg{bad}, c.msgs...)} {
					res := dnssec.Validate(c.question(), anchors, l.now, msgs...)
					c.want.check(t, fmt.Sprintf("%s %s: %s beside %v", c.name, dns.Type(c.typ), what, &c.msgs[i].Question[0]), res)
					count++
					if res.Status == dnssec.Secure {
						secure++
					}
				}
			})
		}
	}
	t.Logf("%d of %d secure", secure, count)
	require.Greater(t, secure, count/2)
}

// labForger breaks some of the messages that pass.
type labForger struct {
	*lab
	mu   sync.Mutex
	rng  *rand.Rand
	kind []string
	rate int // one message in so many
}

func (f *labForger) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	m, err := f.lab.Exchange(ctx, q)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || f.rng.IntN(f.rate) != 0 {
		return m, err
	}
	list := labSection(m, f.rng.IntN(2))
	if len(*list) == 0 {
		return m, nil
	}
	for range 1 + f.rng.IntN(3) {
		k := f.rng.IntN(len(*list))
		if changed := labMutators[f.kind[f.rng.IntN(len(f.kind))]](f.lab, dns.Copy((*list)[k])); changed != nil {
			*list = slices.Replace(*list, k, k+1, changed...)
		}
		if len(*list) == 0 {
			break
		}
	}
	return m, nil
}

// TestLabPoison lets one resolver with its cache live among forgeries: none may
// settle in it.
func TestLabPoison(t *testing.T) {
	t.Parallel()
	l := labOttawa(t)
	f := &labForger{lab: l, rng: rand.New(rand.NewPCG(3, 4)), kind: slices.Sorted(maps.Keys(labMutators)), rate: 2}
	now := l.now
	r := &dnssec.Resolver{Exchanger: f, Anchors: l.anchors(t), Now: func() time.Time { return now }, Limits: dnssec.Limits{Zones: 6}}
	var names []string
	for _, apex := range slices.Sorted(maps.Keys(l.zones)) {
		names = append(names, labNames(l.zones[apex])...)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !labValid(n) })
	rng := rand.New(rand.NewPCG(5, 6))
	total := map[dnssec.Status]int{}
	for range 3000 {
		n, typ := names[rng.IntN(len(names))], labTypes[rng.IntN(len(labTypes))]
		res, err := r.Lookup(context.Background(), n, typ)
		require.NoError(t, err)
		l.truth(n, typ).check(t, n+" "+dns.Type(typ).String(), res)
		total[res.Status]++
		now = now.Add(time.Duration(rng.IntN(20)) * time.Second)
	}
	t.Log(total)
	require.NotZero(t, total[dnssec.Secure])
	require.NotZero(t, total[dnssec.Bogus])

	f.rate = 1 << 62 // the forger leaves
	for _, q := range labQuestions {
		want := l.truth(q.name, q.typ)
		res, err := r.Lookup(context.Background(), q.name, q.typ)
		require.NoError(t, err)
		require.Contains(t, want.honest(), res.Status, "%s: %v", q.name, res.Reason)
		want.check(t, q.name, res)
	}
}
