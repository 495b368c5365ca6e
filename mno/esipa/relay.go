package esipa

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
)

// The default bounds of a [Relay].
const (
	DefaultSessions    = 10000
	DefaultSessionLife = 10 * time.Minute
)

// Relay stands in an eIM between devices and the SM-DP+s they name: an
// [es9.Backend] that passes everything on to the SM-DP+ of its session. Sessions
// are in this process and lost with it, whereupon devices begin again. It is safe
// for concurrent use and must not be copied.
type Relay struct {
	// Dial returns the SM-DP+ at an address, which has the form of a host name
	// with or without a port and is any device's to choose: say no where the eIM
	// has no business. Required.
	Dial func(address string) (es9.Backend, error)

	// Sessions is how many are kept whose eUICC the SM-DP+ has accepted, and as
	// many of others; zero means DefaultSessions. Anybody can begin a session, so
	// these push out none but each other, the oldest first.
	Sessions int

	// Life is how long a session lasts after it began, and after its eUICC was
	// accepted; zero means
	// DefaultSessionLife.
	Life time.Duration

	// Now is the clock; nil means time.Now.
	Now func() time.Time

	mu            sync.Mutex
	byID          map[string]*relayed
	begun, proven list.List // by age, the oldest in front
}

var _ es9.Backend = (*Relay)(nil)

// relayed is a session at an SM-DP+.
type relayed struct {
	id      string
	address string
	server  es9.Backend
	expires time.Time
	in      *list.List
	element *list.Element
}

func (r *Relay) dial(address string) (es9.Backend, error) {
	if r.Dial == nil {
		return nil, errors.New("esipa: set Dial of the Relay")
	}
	b, err := r.Dial(address)
	if err != nil {
		return nil, fmt.Errorf("esipa: dial %s: %w", limited(address), err)
	}
	return b, nil
}

// isAddress accepts what an activation code may name.
func isAddress(s string) bool {
	_, err := es9.ActivationCode{Address: s}.Text()
	return err == nil
}

// InitiateAuthentication begins a session at the SM-DP+ that the device names.
func (r *Relay) InitiateAuthentication(ctx context.Context, q es9.InitiateAuthentication) (es9.Authentication, error) {
	if !isAddress(q.SMDPAddress) {
		return es9.Authentication{}, &mno.StatusError{Subject: "8.8.1", Reason: mno.ReasonRefused, Message: "the address is no host name"}
	}
	server, err := r.dial(q.SMDPAddress)
	if err != nil {
		return es9.Authentication{}, err
	}
	a, err := server.InitiateAuthentication(ctx, q)
	if err != nil {
		return es9.Authentication{}, err
	}
	if err := r.add(&relayed{id: string(a.TransactionID), address: q.SMDPAddress, server: server}); err != nil {
		return es9.Authentication{}, err
	}
	return a, nil
}

// AuthenticateClient passes on the eUICC's proof.
func (r *Relay) AuthenticateClient(ctx context.Context, q es9.AuthenticateClient) (es9.Offer, error) {
	server, err := r.find(q.TransactionID)
	if err != nil {
		return es9.Offer{}, err
	}
	o, err := server.AuthenticateClient(ctx, q)
	if err == nil {
		r.prove(q.TransactionID)
	}
	return o, err
}

// GetBoundProfilePackage passes on the eUICC's consent.
func (r *Relay) GetBoundProfilePackage(ctx context.Context, q es9.GetBoundProfilePackage) (es9.Package, error) {
	server, err := r.find(q.TransactionID)
	if err != nil {
		return es9.Package{}, err
	}
	return server.GetBoundProfilePackage(ctx, q)
}

// CancelSession ends a session.
func (r *Relay) CancelSession(ctx context.Context, q es9.CancelSession) error {
	server, err := r.find(q.TransactionID)
	if err != nil {
		return err
	}
	if err := server.CancelSession(ctx, q); err != nil {
		return err
	}
	r.forget(q.TransactionID)
	return nil
}

// HandleNotification takes a notification to the SM-DP+ that it names. One that
// names none is accepted without effect: it would be no better next time.
func (r *Relay) HandleNotification(ctx context.Context, notification []byte) error {
	n, err := rsp.DecodePendingNotification(notification)
	if err != nil || !isAddress(n.Metadata().Address) {
		return nil
	}
	server, err := r.dial(n.Metadata().Address)
	if err != nil {
		return err
	}
	if err := server.HandleNotification(ctx, notification); err != nil {
		return err
	}
	if n.Installation != nil {
		r.forget(n.Installation.Data.TransactionID)
	}
	return nil
}

func (r *Relay) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func (r *Relay) most() int {
	if r.Sessions > 0 {
		return r.Sessions
	}
	return DefaultSessions
}

func (r *Relay) life() time.Duration {
	if r.Life > 0 {
		return r.Life
	}
	return DefaultSessionLife
}

// add keeps a session. An SM-DP+ cannot take over the session of another one by
// giving out its number.
func (r *Relay) add(x *relayed) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep()
	if former := r.byID[x.id]; former != nil {
		if former.address != x.address {
			return errors.New("esipa: two SM-DP+s have given out the same transaction ID")
		}
		r.drop(former)
	}
	if r.byID == nil {
		r.byID = map[string]*relayed{}
	}
	r.byID[x.id] = x
	r.put(x, &r.begun)
	return nil
}

// put makes x the newest of one of the lists, with all its time before it.
func (r *Relay) put(x *relayed, in *list.List) {
	for in.Len() >= r.most() {
		r.drop(in.Front().Value.(*relayed))
	}
	x.expires, x.in, x.element = r.now().Add(r.life()), in, in.PushBack(x)
}

// find returns the SM-DP+ of a session.
func (r *Relay) find(id []byte) (es9.Backend, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep()
	x := r.byID[string(id)]
	if x == nil {
		return nil, &mno.StatusError{Subject: "8.10.1", Reason: mno.ReasonUnknown, Message: "the session is over, begin again"}
	}
	return x.server, nil
}

// prove moves a session to those that strangers cannot push out.
func (r *Relay) prove(id []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.byID[string(id)]; x != nil {
		x.in.Remove(x.element)
		r.put(x, &r.proven)
	}
}

func (r *Relay) forget(id []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.byID[string(id)]; x != nil {
		r.drop(x)
	}
}

// sweep drops what is over.
func (r *Relay) sweep() {
	now := r.now()
	for _, l := range []*list.List{&r.begun, &r.proven} {
		for e := l.Front(); e != nil && !now.Before(e.Value.(*relayed).expires); e = l.Front() {
			r.drop(e.Value.(*relayed))
		}
	}
}

func (r *Relay) drop(x *relayed) {
	delete(r.byID, x.id)
	x.in.Remove(x.element)
}
