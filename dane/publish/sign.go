package publish

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// signatures are the RRSIG records of an RRset, in the form of rrset.wire, and
// the seconds since 1970 between which they are of use.
type signatures struct {
	wire                  []byte
	inception, expiration int64
	refresh               int64
}

// valid reports whether the signatures may be served. fresh reports whether
// they need no replacement yet.
func (s *signatures) valid(now int64) bool {
	return s != nil && s.inception <= now && now < s.expiration
}

func (s *signatures) fresh(now int64) bool { return s.valid(now) && now < s.refresh }

// signed returns the signatures of a set owned by key, making them if there
// are none or a quarter of their life is left. One reader renews, the others
// go on with the old ones while those are valid.
func (z *Zone) signed(key string, s *rrset, now time.Time) (*signatures, error) {
	sec := now.Unix()
	old := s.sigs.Load()
	if old.fresh(sec) {
		return old, nil
	}
	if !old.valid(sec) {
		s.renew.Lock()
	} else if !s.renew.TryLock() {
		return old, nil
	}
	defer s.renew.Unlock()
	if old = s.sigs.Load(); old.fresh(sec) {
		return old, nil
	}
	sigs, err := z.sign(key, s, now)
	if err != nil {
		if old.valid(sec) {
			return old, nil
		}
		return nil, err
	}
	s.sigs.Store(sigs)
	return sigs, nil
}

// sign makes the RRSIG records of a set (RFC 4034 s3).
func (z *Zone) sign(key string, s *rrset, now time.Time) (*signatures, error) {
	var ownerBuf [maxName + 1]byte
	owner := appendOwner(ownerBuf[:0], key, z.origin)
	expiration := now.Add(z.validity - z.spread(owner, s.typ))
	sigs := &signatures{
		inception:  now.Add(-z.inception).Unix(),
		expiration: expiration.Unix(),
		refresh:    expiration.Add(-z.validity / 4).Unix(),
	}
	keys := z.ring.forType(s.typ)
	data := make([]byte, 0, 18+len(z.origin)+len(s.wire)+s.count()*len(owner))
	for _, k := range keys {
		data = data[:0]
		data = binary.BigEndian.AppendUint16(data, s.typ)
		data = append(data, k.Algorithm, signedLabels(owner))
		data = binary.BigEndian.AppendUint32(data, s.ttl)
		data = binary.BigEndian.AppendUint32(data, uint32(sigs.expiration))
		data = binary.BigEndian.AppendUint32(data, uint32(sigs.inception))
		data = binary.BigEndian.AppendUint16(data, k.tag)
		data = append(data, z.origin...)
		head := len(data)
		for body, rest := []byte(nil), s.wire; len(rest) > 0; {
			body, rest = nextBody(rest)
			data = append(append(data, owner...), body...)
		}
		sig, err := k.sign(data)
		if err != nil {
			return nil, err
		}
		sigs.wire = appendBody(sigs.wire, dns.TypeRRSIG, s.ttl, append(data[:head], sig...))
	}
	return sigs, nil
}

// spread takes some of the jitter off a signature's life, so that signatures
// made together are not all renewed together. It depends on nothing but the
// RRset (FNV-1a).
func (z *Zone) spread(owner []byte, typ uint16) time.Duration {
	if z.jitter <= 0 {
		return 0
	}
	h := uint64(14695981039346656037) ^ uint64(typ)
	for _, c := range owner {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return time.Duration(h>>1) % z.jitter
}

// job is a set that wants its signatures.
type job struct {
	key string
	set *rrset
}

// signAll makes the signatures of many sets, spread over the zone's workers.
func (z *Zone) signAll(ctx context.Context, jobs []job, now time.Time) error {
	if !z.isSigned() || len(jobs) == 0 {
		return ctx.Err()
	}
	var (
		next  atomic.Int64
		group sync.WaitGroup
		once  sync.Once
		fault error
	)
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(jobs) {
				return
			}
			err := ctx.Err()
			if err == nil {
				_, err = z.signed(jobs[i].key, jobs[i].set, now)
			}
			if err != nil {
				once.Do(func() { fault = err })
				next.Store(int64(len(jobs)))
				return
			}
		}
	}
	for range min(z.workers, len(jobs)) - 1 {
		group.Go(work)
	}
	work()
	group.Wait()
	return fault
}
