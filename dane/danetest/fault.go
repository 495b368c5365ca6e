package danetest

import (
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Fault spoils the answers to some questions. A Fault with no Name, Under and
// Type spoils all of them.
type Fault struct {
	// Name is the name asked for. Empty means any.
	Name string
	// Under limits the fault to names at or below this one. Empty means any.
	// The DS of a zone is asked for by the zone's name, though its parent
	// answers.
	Under string
	// Type is the type asked for. Zero means any.
	Type uint16
	// Times is how many answers are spoilt. Zero means all.
	Times int
	// Effect is what happens. It must be set.
	Effect Effect
}

// Effect changes a reply on its way out. The functions of this package that
// return one cover the usual attacks; tests may write their own, and call these
// from it: Drop()(r).
type Effect func(*Reply)

// Reply is an answer on its way out.
type Reply struct {
	World   *World
	Network string   // InProcess, UDP or TCP
	Query   *dns.Msg // not to be changed
	Msg     *dns.Msg // the answer: a copy of its own, free to change

	dropped bool
	delay   time.Duration
}

// Inject switches a fault on. The function it returns switches it off. Faults
// apply in the order of their injection.
func (w *World) Inject(f Fault) (remove func()) {
	w.tb.Helper()
	if f.Effect == nil {
		w.tb.Fatal("danetest: fault without effect")
	}
	p := &f
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, p)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.faults = slices.DeleteFunc(w.faults, func(have *Fault) bool { return have == p })
	}
}

// strike logs a question and returns the faults that befall it.
func (w *World) strike(q *dns.Msg) []*Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(q.Question) == 0 {
		return nil
	}
	w.log = append(w.log, q.Question[0])
	var hit, kept []*Fault
	for _, f := range w.faults {
		if f.matches(q.Question[0]) {
			hit = append(hit, f)
			if f.Times == 1 {
				continue
			}
			f.Times = max(f.Times-1, 0)
		}
		kept = append(kept, f)
	}
	w.faults = kept
	return hit
}

func (f *Fault) matches(q dns.Question) bool {
	return (f.Name == "" || strings.EqualFold(dns.Fqdn(f.Name), q.Name)) &&
		(f.Under == "" || dns.IsSubDomain(dns.Fqdn(f.Under), q.Name)) &&
		(f.Type == 0 || f.Type == q.Qtype)
}

// Drop loses the answer.
func Drop() Effect { return func(r *Reply) { r.dropped = true } }

// Delay holds the answer back: a simulated round trip.
func Delay(d time.Duration) Effect { return func(r *Reply) { r.delay += d } }

// Truncate sets TC and empties the answer, unless it goes by TCP.
func Truncate() Effect {
	return func(r *Reply) {
		if r.Network != TCP {
			r.empty()
			r.Msg.Truncated = true
		}
	}
}

// Rcode answers with this response code and no data; ServFail with SERVFAIL.
func Rcode(code int) Effect {
	return func(r *Reply) {
		r.empty()
		r.Msg.Authoritative = false
		r.Msg.Rcode = code
	}
}

// ServFail answers SERVFAIL.
func ServFail() Effect { return Rcode(dns.RcodeServerFailure) }

func (r *Reply) empty() {
	r.Msg.Answer, r.Msg.Ns = nil, nil
	r.Msg.Extra = slices.DeleteFunc(r.Msg.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeOPT })
}

// Strip removes all records of some types; none means RRSIG.
func Strip(types ...uint16) Effect {
	if len(types) == 0 {
		types = []uint16{dns.TypeRRSIG}
	}
	return func(r *Reply) {
		r.each(func(rrs []dns.RR) []dns.RR {
			return slices.DeleteFunc(rrs, func(rr dns.RR) bool { return slices.Contains(types, rr.Header().Rrtype) })
		})
	}
}

// Mutate changes the answer as it likes.
func Mutate(f func(m *dns.Msg)) Effect { return func(r *Reply) { f(r.Msg) } }

// each replaces the answer and authority sections.
func (r *Reply) each(f func([]dns.RR) []dns.RR) {
	r.Msg.Answer, r.Msg.Ns = f(r.Msg.Answer), f(r.Msg.Ns)
}
