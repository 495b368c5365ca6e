// Package limit bounds how often each account may call, so that one that floods
// the registry slows nobody but itself.
//
//	limiter := limit.New(50, 200) // 50 a second, 200 at once
//	if ok, after := limiter.Allow(account); !ok {
//		limiter.Header(w.Header(), account)
//		w.Header().Set("Retry-After", limit.Seconds(after))
//		w.WriteHeader(http.StatusTooManyRequests)
//	}
//
// Every account has a token bucket of its own. It holds a burst of tokens, a call
// takes one, and it fills at a steady rate. A refused call takes nothing.
//
// # What this does not protect from
//
// It counts in one process: behind n processes an account has n buckets. It bounds
// calls, not what a call costs. Whoever can make up account names gets a bucket
// for each: ask with the name that was authenticated, and with one fixed name or
// the network's own address for those who have none.
package limit

import (
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// DefaultAccounts is how many buckets a [Limiter] keeps unless [WithAccounts]
// says otherwise: about 10 MB when all are in use, and their names.
const DefaultAccounts = 100_000

// forever is the longest time that a bucket takes to fill; it keeps sums of
// durations far from overflow.
const forever = 100 * 365 * 24 * time.Hour

// shards keep callers on several processors from waiting for one lock.
const shards = 32

// Limiter holds the buckets. It is safe for concurrent use; make one with [New].
type Limiter struct {
	interval time.Duration // in which one token comes
	capacity time.Duration // in which an empty bucket becomes full
	burst    int
	closed   bool // nobody gets through
	accounts int
	now      func() time.Time
	base     time.Time
	seed     maphash.Seed
	shards   [shards]shard
}

// Option changes a Limiter while it is made.
type Option func(*Limiter)

// WithClock sets the clock; nil and the default are time.Now.
func WithClock(now func() time.Time) Option {
	return func(l *Limiter) {
		if now != nil {
			l.now = now
		}
	}
}

// WithAccounts sets how many buckets are kept at most; less than 1 means
// DefaultAccounts. Buckets that are full again are forgotten without a trace. Only
// when about this many accounts are below their burst at once, buckets that were not
// used for longest go early, and their accounts have their burst back; nobody loses
// anything. Since the places are divided by chance, take twice as many as there are
// accounts.
func WithAccounts(n int) Option {
	return func(l *Limiter) {
		if n > 0 {
			l.accounts = n
		}
	}
}

// New makes a Limiter that lets each account call perSecond times a second in the
// long run and burst times at once. Where either is not positive (NaN is not),
// nobody gets through: a limit that was configured wrongly is noticed. More than
// 1e9 a second, the infinite too, counts as 1e9.
func New(perSecond float64, burst int, opts ...Option) *Limiter {
	l := &Limiter{burst: burst, accounts: DefaultAccounts, now: time.Now, seed: maphash.MakeSeed()}
	for _, o := range opts {
		o(l)
	}
	l.base = l.now()
	if !(perSecond > 0) || burst <= 0 {
		l.closed, l.burst = true, 0
		return l
	}
	longest := forever / time.Duration(burst)
	l.interval = longest
	if f := float64(time.Second) / perSecond; f < float64(longest) {
		l.interval = max(1, time.Duration(math.Ceil(f)))
	}
	l.capacity = l.interval * time.Duration(burst)
	for i := range l.shards {
		l.shards[i].init((l.accounts + shards - 1) / shards)
	}
	return l
}

// Allow takes a token from the account's bucket. Where there is none, ok is false
// and retryAfter says when there will be one, if nothing else asks before.
func (l *Limiter) Allow(account string) (ok bool, retryAfter time.Duration) {
	if l.closed {
		return false, forever
	}
	s, now := l.shard(account), l.since()
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.get(account, now)
	full := l.fullAt(b.full, now)
	if wait := full + l.interval - l.capacity - now; wait > 0 {
		b.full = full // also heals what a clock that was set back has left
		return false, wait
	}
	b.full = full + l.interval
	return true, 0
}

// Remaining returns how many calls the account could make at once now, and when
// its bucket will be full again. It takes nothing.
func (l *Limiter) Remaining(account string) (tokens int, full time.Duration) {
	if l.closed {
		return 0, forever
	}
	s, now := l.shard(account), l.since()
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[account]
	if b == nil {
		return l.burst, 0
	}
	full = l.fullAt(b.full, now) - now
	return int((l.capacity - full) / l.interval), full
}

// fullAt is when a bucket will be full that says it will at t: never in the past,
// and never later than an empty one would be, also where the clock was set back.
func (l *Limiter) fullAt(t, now time.Duration) time.Duration {
	return min(max(t, now), now+l.capacity)
}

func (l *Limiter) since() time.Duration { return l.now().Sub(l.base) }

func (l *Limiter) shard(account string) *shard {
	return &l.shards[maphash.String(l.seed, account)%shards]
}

// size returns how many buckets are kept.
func (l *Limiter) size() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.buckets)
		s.mu.Unlock()
	}
	return n
}

// shard is a part of the buckets, in the order of their use.
type shard struct {
	mu      sync.Mutex
	max     int
	buckets map[string]*bucket
	ring    bucket // ring.next was used last, ring.prev longest ago
	_       [64]byte
}

// bucket is an account's bucket. It is empty the capacity before it is full, and
// has a token more for each interval since.
type bucket struct {
	account    string
	full       time.Duration
	prev, next *bucket
}

func (s *shard) init(limit int) {
	s.max, s.buckets = limit, map[string]*bucket{}
	s.ring.prev, s.ring.next = &s.ring, &s.ring
}

// get returns the account's bucket as the one used last, and makes it where there
// is none. For each that is made, up to two that are full again are forgotten.
func (s *shard) get(account string, now time.Duration) *bucket {
	b := s.buckets[account]
	if b != nil {
		b.unlink()
		b.linkAfter(&s.ring)
		return b
	}
	for range 2 {
		if oldest := s.ring.prev; oldest != &s.ring && oldest.full <= now {
			s.forget(oldest)
		}
	}
	if len(s.buckets) >= s.max {
		s.forget(s.ring.prev)
	}
	b = &bucket{account: account, full: now}
	s.buckets[account] = b
	b.linkAfter(&s.ring)
	return b
}

func (s *shard) forget(b *bucket) {
	b.unlink()
	delete(s.buckets, b.account)
}

func (b *bucket) unlink() { b.prev.next, b.next.prev = b.next, b.prev }

func (b *bucket) linkAfter(a *bucket) {
	b.prev, b.next = a, a.next
	a.next.prev = b
	a.next = b
}
