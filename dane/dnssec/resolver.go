package dnssec

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Resolver looks names up and validates the answers. The zero Resolver asks
// the system's resolvers and trusts the IANA root anchors. It is safe for
// concurrent use; do not change its fields after the first look-up, nor copy it.
type Resolver struct {
	Exchanger Exchanger        // nil: the system's resolvers over UDP, TCP on truncation
	Anchors   *Anchors         // nil: the IANA root anchors
	Now       func() time.Time // nil: time.Now
	Floor     time.Time        // an earlier clock counts as this time: the build date or the last time seen; zero: no floor
	Limits    Limits           // zero: safe defaults
	AllowSHA1 bool             // validate algorithms 5 and 7 and DS digest type 1 too (RFC 9905 advises against)

	once   sync.Once
	system Exchanger
	iana   *Anchors
	cache  zoneCache
}

// Lookup asks for the records of a type at a name and validates the answer. The
// name may lack its final dot. The Result is never nil. The error is not nil
// only if nothing could be judged: the question is not one that DNSSEC answers
// (ErrQuestion), ctx ended, or no upstream answered at all (ErrUpstream). A
// bogus answer is a Result whose Status is Bogus, and one that lacks records
// because some queries failed has the Status Indeterminate; both have a Reason
// and no records.
func (r *Resolver) Lookup(ctx context.Context, name string, qtype uint16) (*Result, error) {
	q, err := newQuestion(dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET})
	if err != nil {
		return &Result{Reason: err}, err
	}
	r.once.Do(r.setUp)
	limits := r.Limits.filled()
	l := &lookup{
		resolver: r, exchanger: r.Exchanger, q: q, limits: limits,
		replies: make(chan reply, limits.Queries),
		v: &validation{
			anchors: r.Anchors, now: r.now(), recs: newRecords(limits), sha1: r.AllowSHA1,
			online: true, failed: map[question]error{},
		},
	}
	if l.exchanger == nil {
		l.exchanger = r.system
	}
	if l.v.anchors == nil {
		l.v.anchors = r.iana
	}
	r.cache.use(l.v.anchors)
	l.v.cached = r.cache.at(l.v.now)
	return l.run(ctx)
}

func (r *Resolver) setUp() {
	if r.Exchanger == nil {
		r.system = newSystem()
	}
	if r.Anchors == nil {
		r.iana = IANAAnchors()
	}
}

func (r *Resolver) now() time.Time {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	if t := now(); t.After(r.Floor) {
		return t
	}
	return r.Floor
}

// newQuestion refuses what no signature can cover.
func newQuestion(q dns.Question) (question, error) {
	n, ok := parseName(q.Name)
	e := &Error{Code: CodeOther, Name: q.Name, Type: q.Qtype}
	switch t := q.Qtype; {
	case !ok:
		e.Err = fmt.Errorf("%w: not a domain name", ErrQuestion)
	case q.Qclass != dns.ClassINET:
		e.Err = fmt.Errorf("%w: class %d is not IN", ErrQuestion, q.Qclass)
	case t == dns.TypeNone || t == dns.TypeOPT || t == dns.TypeRRSIG || t >= 128 && t <= 255:
		e.Rule, e.Err = "RFC 6895 section 3.1", fmt.Errorf("%w: not the type of an RRset", ErrQuestion)
	default:
		return question{n, t}, nil
	}
	return question{}, e
}

// Validate judges a question by messages gathered before, in any order: the
// answer, and the DS and DNSKEY answers of the zones above it. It uses no
// network and no clock. Nil anchors mean the IANA root anchors. Records that
// are not there make the result Indeterminate; nothing makes it panic.
func Validate(q dns.Question, anchors *Anchors, now time.Time, msgs ...*dns.Msg) *Result {
	recs := newRecords(Limits{}.filled())
	for _, m := range msgs {
		recs.add(m)
	}
	return judge(q, anchors, now, recs)
}

// judge is the offline validation of records.
func judge(dq dns.Question, anchors *Anchors, now time.Time, recs *records) *Result {
	q, err := newQuestion(dq)
	if err != nil {
		return &Result{Reason: err}
	}
	if anchors == nil {
		anchors = IANAAnchors()
	}
	v := &validation{anchors: anchors, now: now, recs: recs}
	return v.run(q)
}

// lookup is one Lookup on its way.
type lookup struct {
	resolver  *Resolver
	exchanger Exchanger
	q         question
	limits    Limits
	v         *validation

	replies   chan reply
	asked     map[question]bool
	pending   map[question]bool
	succeeded bool
	bare      bool // a reply without a trace of DNSSEC came
}

type reply struct {
	q   question
	msg *dns.Msg
	err error
}

// run asks, judges as soon as what was needed is there, and asks again for what
// turned out to be missing. It returns when all its goroutines are done or
// about to be: they end with the context.
func (l *lookup) run(ctx context.Context) (*Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	l.asked, l.pending = map[question]bool{}, map[question]bool{}
	ask := func(list []question) (waiting []question) {
		for _, q := range list {
			if !l.asked[q] && len(l.asked) < l.limits.Queries {
				l.asked[q], l.pending[q] = true, true
				wg.Go(func() { l.replies <- l.exchange(ctx, q) })
			}
			if l.pending[q] {
				waiting = append(waiting, q)
			}
		}
		return waiting
	}
	ask(l.plan())
	waiting := []question{l.q}
	if !l.pending[l.q] {
		waiting = nil
	}
	for {
		for l.anyPending(waiting) {
			select {
			case <-ctx.Done():
				return l.interrupted(ctx.Err())
			case rep := <-l.replies:
				l.take(rep)
			}
		}
		res := l.v.run(l.q)
		if res.Status == Secure || res.Status == Insecure {
			return l.finish(res)
		}
		if waiting = ask(l.v.needs); len(waiting) == 0 {
			if err := ctx.Err(); err != nil {
				return l.interrupted(err)
			}
			return l.finish(res)
		}
	}
}

func (l *lookup) anyPending(list []question) bool {
	for _, q := range list {
		if l.pending[q] {
			return true
		}
	}
	return false
}

// plan is the first wave: the answer and, unless zones near it are known, the
// keys of all names above it.
func (l *lookup) plan() []question {
	v := l.v
	n := side(l.q.name, l.q.typ)
	a := v.anchors.over(n, v.now)
	if a == nil {
		return nil
	}
	v.needs = []question{l.q}
	if a.negative {
		return v.needs
	}
	top, cold := l.deepest(a.name, n)
	switch {
	case cold:
		v.need(question{a.name, dns.TypeDNSKEY})
		v.needChain(a.name, n)
	case top.status == Secure && top.name.labels() <= 1 && l.resolver.cache.delegates(top.name):
		v.needChain(top.name, n)
	}
	return v.needs
}

// deepest finds the known zone closest to a name.
func (l *lookup) deepest(top, n name) (z *zone, cold bool) {
	for {
		if z := l.v.recall(n); z != nil {
			return z, false
		}
		if n == top {
			return nil, true
		}
		n = n.parent()
	}
}

// exchange sends one query and accepts only a whole reply to it.
func (l *lookup) exchange(ctx context.Context, q question) reply {
	m := newQuery(q)
	r, err := l.exchanger.Exchange(ctx, m)
	switch {
	case err != nil:
	case r == nil:
		err = errors.New("no reply")
	case !r.Response || len(r.Question) > 1:
		err = errors.New("reply is malformed")
	case len(r.Question) == 1 && !sameQuestion(r.Question[0], q):
		err = errors.New("reply is to another question")
	case r.Truncated:
		err = errors.New("reply is truncated")
	}
	return reply{q, r, err}
}

// newQuery asks for signatures, and for data that the upstream holds for bogus
// too (RFC 4035 section 3.2).
func newQuery(q question) *dns.Msg {
	m := &dns.Msg{
		MsgHdr:   dns.MsgHdr{Id: random16(), RecursionDesired: true, CheckingDisabled: true},
		Question: []dns.Question{{Name: q.name.String(), Qtype: q.typ, Qclass: dns.ClassINET}},
	}
	return m.SetEdns0(udpSize, true)
}

func sameQuestion(dq dns.Question, q question) bool {
	n, ok := parseName(dq.Name)
	return ok && n == q.name && dq.Qtype == q.typ && dq.Qclass == dns.ClassINET
}

// take enters a reply.
func (l *lookup) take(rep reply) {
	delete(l.pending, rep.q)
	if rep.err != nil {
		l.v.failed[rep.q] = rep.err
		return
	}
	l.succeeded = true
	if opt := rep.msg.IsEdns0(); opt == nil || !opt.Do() {
		l.bare = true
	}
	l.v.recs.add(rep.msg)
	l.v.recs.replies[rep.q] = rep.msg.Rcode
}

// finish counts, keeps zones, and turns "nobody answered" into an error.
func (l *lookup) finish(res *Result) (*Result, error) {
	res.Queries = len(l.asked)
	cache := &l.resolver.cache
	for n := range l.v.stale {
		cache.drop(n)
	}
	cache.put(l.v.zones, l.limits.Zones, l.v.now)
	if res.Status == Bogus && l.bare && !l.v.recs.signed && l.v.limitErr == nil {
		res.Reason = &Error{Code: CodeRRSIGsMissing, Name: l.q.name.String(), Type: l.q.typ, Rule: "RFC 4035 section 3.2",
			Err: fmt.Errorf("%w (upstream %s): %w", ErrStripped, upstream(l.exchanger), res.Reason)}
	}
	if res.Status == Indeterminate && len(l.asked) > 0 && !l.succeeded {
		return res, res.Reason
	}
	return res, nil
}

// upstream names an exchanger that can say what it is.
func upstream(e Exchanger) string {
	if s, ok := e.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", e)
}

func (l *lookup) interrupted(cause error) (*Result, error) {
	err := &Error{Code: CodeNetworkError, Name: l.q.name.String(), Type: l.q.typ, Err: fmt.Errorf("%w in time: %w", ErrUpstream, cause)}
	return &Result{Reason: err, Queries: len(l.asked), Verifications: l.v.verifications, Hashes: l.v.hashCount}, err
}
