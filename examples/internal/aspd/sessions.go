package aspd

import (
	"context"
	"crypto/x509"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/registry/eid"
)

// What the zero fields of Sessions mean.
const (
	DefaultRecheck    = time.Hour
	DefaultPatience   = 10 * time.Second
	DefaultMax        = 10_000
	DefaultConcurrent = 32
)

// Sessions are the open connections of devices. Verify is required; fields must
// not change after the first call. Safe for concurrent use.
type Sessions struct {
	// Verify asks the DNS about a device, as dane.Verifier.DeviceChain does.
	Verify func(ctx context.Context, name string, chain []*x509.Certificate) (*dane.Match, error)

	// Now is the clock. Nil means time.Now.
	Now func() time.Time

	// Recheck is the longest time between two look-ups of a device: an answer
	// counts until its records expire and at most for this long. Zero means an
	// hour. The first look-up follows at once, because a handshake does not tell
	// what it learned.
	Recheck time.Duration

	// Grace is how long a device stays when the last answer has run out and no
	// new one can be had. Zero drops it at the first failed look-up.
	Grace time.Duration

	// Patience is how long one look-up may take. Zero means 10 seconds. No
	// connection outlives its last answer by more than Grace and Patience.
	Patience time.Duration

	// Max is how many connections there may be. Zero means 10,000.
	Max int

	// Concurrent is how many look-ups there may be at a time. Zero means 32.
	Concurrent int

	// OnAdmit is told of every device that is let in. It must not block.
	OnAdmit func(Device)

	// Log may be nil.
	Log *slog.Logger

	once  sync.Once
	slots chan struct{}

	mu     sync.Mutex
	all    map[*Session]struct{}
	byID   map[eid.ID][]*Session // oldest first
	closed bool
	drops  sync.WaitGroup
}

// Link is a connection as Sessions sees it.
type Link struct {
	// Kind says what is spoken, such as "mqtt". A device may have Limit
	// connections of a kind, zero meaning one; another one ends the oldest.
	Kind  string
	Limit int

	// Drop ends the connection and says why, where the protocol can. It is called
	// at most once, on a goroutine of its own, and must end by itself.
	Drop func(Reason)
}

// Reason is why a connection is dropped.
type Reason string

// The reasons.
const (
	Withdrawn Reason = "withdrawn" // the registry provably publishes no certificate any more
	Refused   Reason = "refused"   // it provably publishes others, or this one's time is over
	Unknown   Reason = "unknown"   // nothing could be learned within the time of grace
	Replaced  Reason = "replaced"  // the device has connected again
	Ending    Reason = "ending"    // the program ends
)

// Verdict is what is known about a connected device.
type Verdict string

// The verdicts.
const (
	Admitted   Verdict = "admitted"   // the handshake proved it; nobody has looked since
	Verified   Verdict = "verified"   // a look-up since then proved it
	Unverified Verdict = "unverified" // the last answer has run out; in the time of grace
)

// Session is one connection of a device. Its methods may be called by anybody at
// any time.
type Session struct {
	Device Device
	Kind   string

	owner *Sessions
	link  Link
	done  chan struct{}

	// Guarded by owner.mu.
	since, last time.Time
	message     string
	verdict     Verdict
	until       time.Time // the last answer counts so long
	due         time.Time // of the next look-up
	failures    int       // look-ups without an answer since the last one with
	checking    bool
}

// Admit enters the connection of a device whose handshake was accepted. Every
// session must be left.
func (s *Sessions) Admit(d Device, l Link) (*Session, error) {
	s.mu.Lock()
	x, replaced, err := s.admit(d, l)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if replaced != nil {
		s.end(replaced, Replaced)
	}
	s.log().Info("device admitted", "device", d.ID, "profile", d.ProfileID, "zone", d.Zone, "kind", l.Kind)
	if s.OnAdmit != nil {
		s.OnAdmit(d)
	}
	return x, nil
}

func (s *Sessions) admit(d Device, l Link) (x, replaced *Session, err error) {
	if s.closed {
		return nil, nil, ErrClosed
	}
	same, oldest := 0, (*Session)(nil)
	for _, other := range s.byID[d.ID] {
		if other.Device.Zone != d.Zone {
			return nil, nil, ErrTaken
		}
		if other.Kind == l.Kind {
			same++
			if oldest == nil {
				oldest = other
			}
		}
	}
	if same < max(l.Limit, 1) {
		oldest = nil
	}
	if oldest == nil && len(s.all) >= or(s.Max, DefaultMax) {
		return nil, nil, ErrFull
	}
	if oldest != nil {
		s.expel(oldest)
	}
	if s.all == nil {
		s.all, s.byID = map[*Session]struct{}{}, map[eid.ID][]*Session{}
	}
	now := s.now()
	x = &Session{
		Device: d, Kind: l.Kind, owner: s, link: l, done: make(chan struct{}),
		since: now, verdict: Admitted, until: now, due: now,
	}
	s.all[x] = struct{}{}
	s.byID[d.ID] = append(s.byID[d.ID], x)
	return x, oldest, nil
}

// forget takes a session off the books and reports whether it was there.
func (s *Sessions) forget(x *Session) bool {
	if _, ok := s.all[x]; !ok {
		return false
	}
	delete(s.all, x)
	rest := slices.DeleteFunc(s.byID[x.Device.ID], func(o *Session) bool { return o == x })
	if len(rest) == 0 {
		delete(s.byID, x.Device.ID)
	} else {
		s.byID[x.Device.ID] = rest
	}
	close(x.done)
	return true
}

// expel is forget for a session whose connection is to be ended next. Close waits
// for that from here on.
func (s *Sessions) expel(x *Session) bool {
	there := s.forget(x)
	if there {
		s.drops.Add(1)
	}
	return there
}

// drop ends a session unless it has ended already.
func (s *Sessions) drop(x *Session, why Reason) {
	s.mu.Lock()
	there := s.expel(x)
	s.mu.Unlock()
	if there {
		s.end(x, why)
	}
}

// end ends the connection of a session that was expelled: a slow peer keeps nobody
// waiting.
func (s *Sessions) end(x *Session, why Reason) {
	s.log().Info("device dropped", "device", x.Device.ID, "profile", x.Device.ProfileID, "kind", x.Kind, "why", string(why))
	go func() {
		defer s.drops.Done()
		if x.link.Drop != nil {
			x.link.Drop(why)
		}
	}()
}

// Leave takes a session off the books because its connection has ended. It may be
// called more than once.
func (x *Session) Leave() {
	x.owner.mu.Lock()
	there := x.owner.forget(x)
	x.owner.mu.Unlock()
	if there {
		x.owner.log().Debug("device left", "device", x.Device.ID, "kind", x.Kind)
	}
}

// Done is closed when the session is over, by whichever side.
func (x *Session) Done() <-chan struct{} { return x.done }

// maxMessage bounds what is kept of a message for people to see, in bytes.
const maxMessage = 64

// Touch notes that the device has sent something.
func (x *Session) Touch(what string) {
	x.owner.mu.Lock()
	defer x.owner.mu.Unlock()
	x.last, x.message = x.owner.now(), printable(what)
}

// printable keeps what a device sends from people's terminals and pages.
func printable(text string) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, text[:min(len(text), maxMessage)])
	return text[:min(len(text), maxMessage)]
}

// State is what is known about a session at one time.
type State struct {
	Device      string    `json:"device"`
	Profile     uint64    `json:"profile"`
	Name        string    `json:"name"`
	Kind        string    `json:"kind"`
	Since       time.Time `json:"since"`
	LastMessage time.Time `json:"lastMessage,omitzero"`
	Message     string    `json:"message,omitempty"`
	Verdict     Verdict   `json:"verdict"`
	Until       time.Time `json:"until"` // the last answer counts so long
}

// List returns the sessions in the order of device IDs, and oldest first.
func (s *Sessions) List() []State {
	s.mu.Lock()
	list := make([]State, 0, len(s.all))
	for x := range s.all {
		list = append(list, State{
			Device: x.Device.ID.String(), Profile: x.Device.ProfileID, Name: x.Device.Name, Kind: x.Kind,
			Since: x.since, LastMessage: x.last, Message: x.message, Verdict: x.verdict, Until: x.until,
		})
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b State) int {
		if c := strings.Compare(a.Device, b.Device); c != 0 {
			return c
		}
		return a.Since.Compare(b.Since)
	})
	return list
}

// Of returns the sessions of a device, oldest first.
func (s *Sessions) Of(id eid.ID) []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.byID[id])
}

// Close drops all sessions, lets nobody in any more, and waits until the
// connections have been told.
func (s *Sessions) Close() {
	s.mu.Lock()
	s.closed = true
	var all []*Session
	for x := range s.all {
		all = append(all, x)
	}
	s.mu.Unlock()
	for _, x := range all {
		s.drop(x, Ending)
	}
	s.drops.Wait()
}

func (s *Sessions) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Sessions) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.New(slog.DiscardHandler)
}

// or returns v, or the default where v is not above zero.
func or[T int | time.Duration](v, standard T) T {
	if v > 0 {
		return v
	}
	return standard
}
