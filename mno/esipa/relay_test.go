package esipa_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
)

// hub is a relay to SM-DP+s of two names.
type hub struct {
	t      *testing.T
	relay  *esipa.Relay
	now    time.Time
	dialed []string
	one    *backend
	two    *backend
}

func newHub(t *testing.T) *hub {
	h := &hub{t: t, now: time.Unix(0, 0), one: &backend{m: newMessages(t)}, two: &backend{m: newMessages(t)}}
	h.relay = &esipa.Relay{Sessions: 2, Life: time.Minute, Now: func() time.Time { return h.now }, Dial: func(a string) (es9.Backend, error) {
		h.dialed = append(h.dialed, a)
		switch a {
		case address:
			return h.one, nil
		case "two.example:8443":
			return h.two, nil
		}
		return nil, errOdd
	}}
	return h
}

// begin begins a session with this number.
func (h *hub) begin(b *backend, at string, id byte) error {
	b.m.authentication.TransactionID = []byte{id}
	r := b.m.initiate
	r.SMDPAddress = at
	_, err := h.relay.InitiateAuthentication(h.t.Context(), r)
	return err
}

func (h *hub) prove(id byte) error {
	_, err := h.relay.AuthenticateClient(h.t.Context(), es9.AuthenticateClient{TransactionID: []byte{id}})
	return err
}

func (h *hub) get(id byte) error {
	_, err := h.relay.GetBoundProfilePackage(h.t.Context(), es9.GetBoundProfilePackage{TransactionID: []byte{id}})
	return err
}

func (h *hub) cancel(id byte) error {
	return h.relay.CancelSession(h.t.Context(), es9.CancelSession{TransactionID: []byte{id}})
}

var unknown = &mno.StatusError{Subject: "8.10.1", Reason: "3.9"}

func TestRelay(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	require.NoError(t, h.begin(h.one, address, 1))
	require.NoError(t, h.begin(h.two, "two.example:8443", 2))
	require.NoError(t, h.prove(2))
	require.NoError(t, h.get(2))
	require.NoError(t, h.get(2), "again because the answer was lost")
	require.NoError(t, h.prove(1))
	require.NoError(t, h.cancel(1))
	require.ErrorIs(t, h.cancel(1), unknown)
	require.ErrorIs(t, h.get(3), unknown)
	require.ErrorIs(t, h.prove(3), unknown)
	require.Equal(t, []string{"initiate", "authenticate", "cancel"}, h.one.calls)
	require.Equal(t, []string{"initiate", "authenticate", "package", "package"}, h.two.calls)

	require.ErrorContains(t, h.begin(h.one, address, 2), "same transaction ID", "nobody takes over another's session")
	require.NoError(t, h.begin(h.two, "two.example:8443", 2), "its own, it may")

	h.one.fail = always(unknown)
	require.ErrorIs(t, h.begin(h.one, address, 9), unknown)
	require.ErrorIs(t, h.prove(9), unknown)
}

func TestRelayIsBounded(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	require.NoError(t, h.begin(h.one, address, 1))
	require.NoError(t, h.prove(1))
	for id := byte(2); id < 20; id++ {
		require.NoError(t, h.begin(h.one, address, id))
	}
	require.NoError(t, h.get(1), "strangers push out each other only")
	require.NoError(t, h.get(18))
	require.ErrorIs(t, h.get(17), unknown)
	require.NoError(t, h.prove(18))
	require.NoError(t, h.prove(19))
	require.ErrorIs(t, h.get(1), unknown, "the oldest that was accepted goes")

	h.now = h.now.Add(time.Minute - 1)
	require.NoError(t, h.get(18))
	h.now = h.now.Add(1)
	require.ErrorIs(t, h.get(18), unknown)
}

func TestRelayFindsReceivers(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	require.NoError(t, h.begin(h.one, address, 1))
	require.NoError(t, h.relay.HandleNotification(t.Context(), h.one.m.deleted))
	require.Equal(t, h.one.m.deleted, h.one.got[1])
	require.NoError(t, h.get(1), "a deletion ends no session")
	for _, useless := range [][]byte{nil, {0x30, 0}, deleted(t, 1, ""), deleted(t, 1, "evil.example/x?")} {
		require.NoError(t, h.relay.HandleNotification(t.Context(), useless), "it would be no better next time")
	}
	require.Equal(t, []string{address, address}, h.dialed)
	require.ErrorIs(t, h.relay.HandleNotification(t.Context(), deleted(t, 1, "other.example")), errOdd)
	h.one.fail = always(errOdd)
	require.ErrorIs(t, h.relay.HandleNotification(t.Context(), h.one.m.deleted), errOdd)
	h.one.fail = nil

	h.one.m.authentication.TransactionID = session()
	_, err := h.relay.InitiateAuthentication(t.Context(), h.one.m.initiate)
	require.NoError(t, err)
	require.NoError(t, h.relay.HandleNotification(t.Context(), h.one.m.installed))
	_, err = h.relay.GetBoundProfilePackage(t.Context(), h.one.m.get)
	require.ErrorIs(t, err, unknown, "the receipt ends the session")
}

func TestRelayRefusesAddresses(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	for _, bad := range []string{"", "smdp.example/path", "user@smdp.example", "smdp.example:x", "a b"} {
		require.ErrorIs(t, h.begin(h.one, bad, 1), &mno.StatusError{Subject: "8.8.1", Reason: "3.8"}, bad)
	}
	require.Empty(t, h.dialed)
	err := h.begin(h.one, "other.example", 1)
	require.ErrorIs(t, err, errOdd)
	var se *mno.StatusError
	require.False(t, errors.As(err, &se), "why it is not dialled stays inside")
	err = (&esipa.Relay{}).HandleNotification(t.Context(), h.one.m.deleted)
	require.ErrorContains(t, err, "Dial")
}
