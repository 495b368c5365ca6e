package smdp

import (
	"container/list"
	"sync"
	"time"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
)

// stage is how far a session has come.
type stage int

const (
	begun   stage = iota // the server has proved itself
	offered              // the eUICC has, and knows what waits
	bound                // it has the package
)

// session is one attempt to download. Its lock is held while a request of the
// device is answered: a device asks for one thing after the other.
type session struct {
	mu        sync.Mutex
	id        rsp.TransactionID
	stage     stage
	address   string // as the device gave it
	challenge []byte // the server's
	ciKeyID   []byte

	card       *cert.EUICC // from offered on
	offer      offer
	signature2 []byte // the server's over the offer

	oneTimeKey []byte // from bound on
	pkg        []byte

	expires time.Time // these two belong to sessions
	element *list.Element
}

// offer is the order that a session is about, so that another one that has taken
// its ICCID in the meantime is noticed.
type offer struct {
	iccid, matchingID string
	sum               [32]byte
	metadata          []byte
}

// is reports whether p is still the order that was offered.
func (o *offer) is(p Profile) bool { return p.MatchingID == o.matchingID && p.SealedSum == o.sum }

// sessions keeps a bounded number of sessions for a bounded time. Anybody can
// begin a session, so these push out none but each other, the oldest first; an
// eUICC that has proved itself has a place of its own, one each.
type sessions struct {
	max  int
	life time.Duration
	now  func() time.Time

	mu            sync.Mutex
	byID          map[string]*session
	byEID         map[rsp.EID]*session
	begun, proven *list.List // by age, the oldest in front
}

func newSessions(most int, life time.Duration, now func() time.Time) *sessions {
	return &sessions{
		max: most, life: life, now: now, byID: map[string]*session{}, byEID: map[rsp.EID]*session{},
		begun: list.New(), proven: list.New(),
	}
}

// add begins a session, unless another one has its ID.
func (s *sessions) add(x *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	if s.byID[string(x.id)] != nil {
		return false
	}
	if s.begun.Len() >= s.max {
		s.drop(s.begun.Front().Value.(*session))
	}
	s.byID[string(x.id)] = x
	x.expires, x.element = s.now().Add(s.life), s.begun.PushBack(x)
	return true
}

// find returns a session, nil where there is none or it is over.
func (s *sessions) find(id []byte) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byID[string(id)]
	if x == nil || !s.now().Before(x.expires) {
		return nil
	}
	return x
}

// prove records that the session is one of this eUICC, whose former session ends
// with it: an eUICC has one at a time. It reports whether the session still is.
func (s *sessions) prove(x *session, card *cert.EUICC) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep() // which may drop x itself
	if s.byID[string(x.id)] != x {
		return false
	}
	if former := s.byEID[card.EID]; former != nil {
		s.drop(former)
	}
	if s.proven.Len() >= s.max {
		s.drop(s.proven.Front().Value.(*session))
	}
	s.begun.Remove(x.element)
	s.byEID[card.EID], x.card = x, card
	x.expires, x.element = s.now().Add(s.life), s.proven.PushBack(x)
	return true
}

// remove ends a session.
func (s *sessions) remove(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(x)
}

// sweep drops what is over.
func (s *sessions) sweep() {
	now := s.now()
	for _, l := range []*list.List{s.begun, s.proven} {
		for e := l.Front(); e != nil && !now.Before(e.Value.(*session).expires); e = l.Front() {
			s.drop(e.Value.(*session))
		}
	}
}

func (s *sessions) drop(x *session) {
	if s.byID[string(x.id)] != x {
		return
	}
	delete(s.byID, string(x.id))
	s.begun.Remove(x.element) // of the two, the list that it is in
	s.proven.Remove(x.element)
	if x.card != nil && s.byEID[x.card.EID] == x {
		delete(s.byEID, x.card.EID)
	}
}
