package publish

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

// Authority answers queries for a set of zones: the deepest zone that holds the
// name answers, a DS comes from the zone above, and aliases are followed
// through all of them. Names outside get REFUSED. It has no sockets; [Server]
// adds them.
//
// The zero Authority has no zones. It is safe for concurrent use.
type Authority struct {
	mu    sync.Mutex // of writers
	zones atomic.Pointer[map[string]*Zone]
	pool  sync.Pool // *resolver
}

// NewAuthority returns an Authority for zones.
func NewAuthority(zones ...*Zone) *Authority {
	a := &Authority{}
	a.Add(zones...)
	return a
}

// Add adds zones, each in place of one of the same origin.
func (a *Authority) Add(zones ...*Zone) {
	a.change(func(m map[string]*Zone) {
		for _, z := range zones {
			m[string(z.origin)] = z
		}
	})
}

// Remove takes the zone of that origin out, if it is there.
func (a *Authority) Remove(origin string) {
	wire, err := packName(origin)
	if err != nil {
		return
	}
	a.change(func(m map[string]*Zone) { delete(m, string(wire)) })
}

func (a *Authority) change(f func(map[string]*Zone)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := map[string]*Zone{}
	if old := a.zones.Load(); old != nil {
		maps.Copy(next, *old)
	}
	f(next)
	a.zones.Store(&next)
}

// Respond answers one message in wire form, with dst's memory if it is large
// enough. It returns nil when no answer is due. With udp the answer is cut to
// what the client takes, at most 1,232 octets, and marked as truncated;
// otherwise it may have 65,535.
//
// It is the whole server but for the sockets, for those who bring their own
// (DNS over TLS or HTTPS).
func (a *Authority) Respond(dst, msg []byte, udp bool) []byte {
	q, rcode, ok := parseQuery(msg)
	if !ok {
		return nil
	}
	r, _ := a.pool.Get().(*resolver)
	if r == nil {
		r = &resolver{}
	}
	defer a.pool.Put(r)
	r.begin(dst, msg, &q)
	r.limit = maxTCP
	if udp {
		r.limit = min(q.size, maxUDP)
	}
	if r.rcode = rcode; rcode == dns.RcodeSuccess {
		r.ask(a, &q)
	}
	out := r.end(&q)
	r.forget()
	return out
}

// ask answers a well-formed query.
func (r *resolver) ask(a *Authority, q *query) {
	zones := a.zones.Load()
	rcode, bad := refused(q.qtype)
	switch {
	case bad:
		r.rcode = rcode
	case zones == nil || q.qclass != dns.ClassINET:
		r.rcode = dns.RcodeRefused
	default:
		r.zones, r.qtype = *zones, q.qtype
		r.name = append(r.nameBuf[:0], r.qname...)
		r.resolve()
	}
}

// forget drops references before the resolver goes back to the pool.
func (r *resolver) forget() {
	clear(r.proof[:cap(r.proof)])
	clear(r.aliases[:cap(r.aliases)])
	r.buf, r.name, r.zones, r.z, r.st, r.key = nil, nil, nil, nil, nil, ""
}

// Exchange answers one query in process, without size limit but that of a
// message. It has the shape of a validator's upstream.
func (a *Authority) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	wire, err := q.Pack()
	if err != nil {
		return nil, fmt.Errorf("publish: packing the query: %w", err)
	}
	out := a.Respond(nil, wire, false)
	if out == nil {
		return nil, fmt.Errorf("publish: message %d is not a query", q.Id)
	}
	m := new(dns.Msg)
	if err := m.Unpack(out); err != nil {
		return nil, fmt.Errorf("publish: unpacking the answer: %w", err)
	}
	return m, nil
}
