package device_test

import (
	"bytes"
	"context"
	"math"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/device"
)

// mute is a provider that takes connections and says nothing.
func mute(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		own, other := net.Pipe()
		t.Cleanup(func() { other.Close() })
		return own, nil
	}
}

// installed returns a device with profile 11.
func installed(t *testing.T, w *world, address string) *meter {
	d := w.device(t, address)
	_, err := d.Install(t.Context(), w.order(t, d, 11, "parkoserv.ca"))
	require.NoError(t, err)
	return d
}

func TestRunGivesUpAMuteProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := installed(t, w, "")
	d.DialContext = mute(t)
	d.Pace.Attempt = 200 * time.Millisecond
	require.ErrorIs(t, run(t, w, d).next(device.Unreachable).Err, context.DeadlineExceeded)
}

// A new profile counts at once, also while the old one's provider keeps the device
// waiting.
func TestRunLeavesAMuteProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := w.serving(t, "parkoserv.ca", nil, hold)
	dialling := make(chan struct{})
	var dials atomic.Int32
	d := installed(t, w, "")
	d.DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		close(dialling)
		return mute(t)(ctx, network, to)
	}
	r := run(t, w, d)
	<-dialling
	_, err := d.Install(t.Context(), w.order(t, d, 12, "parkoserv.ca"))
	require.NoError(t, err)
	require.Equal(t, uint64(11), r.next(device.Changed).ProfileID)
	require.Equal(t, uint64(12), r.next(device.Connected).ProfileID)
}

// nervous is a source that promises another profile whenever it is asked.
type nervous struct {
	device.Source
	asked chan struct{}
}

func (n nervous) Wait(ctx context.Context, _ *device.Credentials) error {
	select {
	case n.asked <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestRunWithANervousSource(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]bool{"with a profile": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			address, _ := w.serving(t, "parkoserv.ca", nil, hold)
			d, first := w.device(t, address), device.NoProfile
			if full {
				d, first = installed(t, w, address), device.Connected
			}
			asked := make(chan struct{})
			d.Source = nervous{d.Source, asked}
			r := run(t, w, d)
			for range 3 {
				<-asked
				for pause := time.Hour; pause > 10*time.Second; { // its own wait, not that for the records
					pause = <-r.waits
				}
				r.pass <- struct{}{}
			}
			r.next(first)
			select {
			case e := <-r.events:
				require.Fail(t, "nothing has happened", "%v", e)
			default:
			}
		})
	}
}

// A profile that cannot be used is in use all the same: the one before is not.
func TestRunWithAProfileThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, _ := w.serving(t, "parkoserv.ca", nil, hold)
	d := installed(t, w, address)
	r := run(t, w, d)
	r.next(device.Connected)
	p := w.profile(t, w.authority, 12, "parkoserv.ca")
	p.PrivateKey = nil // and there is no other signer
	sealed, err := w.authority.Seal(d.Card.PublicKey(), p)
	require.NoError(t, err)
	_, err = d.Install(t.Context(), sealed)
	require.NoError(t, err)
	r.next(device.Changed)
	require.ErrorIs(t, r.next(device.NoProfile).Err, profile.ErrInvalid)
	_, err = d.Install(t.Context(), w.order(t, d, 13, "parkoserv.ca"))
	require.NoError(t, err)
	require.Equal(t, uint64(13), r.next(device.Connected).ProfileID)
}

// That another certificate is published in the profile's place is an answer too.
func TestRunReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admitted := make(chan struct{}, 10)
	address, _ := w.serving(t, "parkoserv.ca", nil, holding(admitted))
	d := installed(t, w, address)
	r := run(t, w, d)
	r.next(device.Connected)
	<-admitted
	const name = "11.1000000000000001.iotregistry.ca."
	w.Withdraw(name)
	w.AddCERT(name, w.authority.Root().Raw)
	r.elapse()
	e := r.next(device.Ended)
	require.ErrorIs(t, e.Err, device.ErrWithdrawn)
	require.ErrorIs(t, e.Err, dane.ErrNoMatch)
}

// A clock that is set back by decades must not put off the next question to the DNS
// for as long, nor one that is set forward have a connection outlive its grace.
func TestRunWhenTheClockIsSet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ years, most int }{"back": {-50, 130}, "forward": {10, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			admitted := make(chan struct{}, 10)
			address, _ := w.serving(t, "parkoserv.ca", nil, holding(admitted))
			d := installed(t, w, address)
			var years atomic.Int32
			now := func() time.Time { return w.Now().AddDate(int(years.Load()), 0, 0) }
			d.Verifier.Now, d.Verifier.Resolver.Now = now, now
			r := run(t, w, d)
			r.next(device.Connected)
			<-admitted
			years.Store(int32(c.years))
			var waited time.Duration
			for range c.most {
				waited += r.elapse()
				require.LessOrEqual(t, waited, 2*time.Hour+5*time.Minute, "the records live for an hour at most, and so does the grace")
				pause := <-r.waits // the next one, of this connection or after it
				select {
				case e := <-r.events:
					require.ErrorIs(t, e.Err, device.ErrStale)
					return
				default:
					r.waits <- pause
				}
			}
			require.Fail(t, "the connection outlives its grace")
		})
	}
}

// However long the longest wait, it can be doubled.
func TestLongestPace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := installed(t, w, "")
	w.Withdraw("11.1000000000000001.iotregistry.ca.")
	d.Pace = device.Pace{Max: math.MaxInt64, Grace: math.MaxInt64}
	d.Verifier, d.Rand = w.verifier(), bytes.NewReader(bytes.Repeat([]byte{0x7F}, 1<<10))
	ctx, stop := context.WithCancel(t.Context())
	d.Sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	upstream := &silenced{Exchanger: w}
	d.Verifier.Resolver.Exchanger = upstream
	var kinds []device.Kind
	d.Observe = func(e device.Event) {
		require.Greater(t, e.Wait, time.Hour)
		upstream.silent.Store(true)
		if kinds = append(kinds, e.Kind); len(kinds) == 3 {
			stop()
		}
	}
	require.ErrorIs(t, d.Run(ctx, stay), context.Canceled)
	require.Equal(t, []device.Kind{device.Withdrawn, device.Unconfirmed, device.Unconfirmed}, kinds)
}

// A source need not have parsed its certificate; one without any is an error.
func TestCredentialsOfAMaker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := installed(t, w, "")
	c, err := d.Source.Load(t.Context())
	require.NoError(t, err)
	c.Certificate.Leaf = nil
	d.Source = fixed{c}
	_, err = d.Verify(t.Context())
	require.NoError(t, err)
	bare := *c
	bare.Certificate.Certificate = nil
	d.Source = fixed{&bare}
	_, err = d.Verify(t.Context())
	require.ErrorContains(t, err, "no certificate")
}

type fixed struct{ c *device.Credentials }

func (f fixed) Load(context.Context) (*device.Credentials, error) { return f.c, nil }

func (f fixed) Wait(ctx context.Context, _ *device.Credentials) error {
	<-ctx.Done()
	return ctx.Err()
}
