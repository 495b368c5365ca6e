package dnssec_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// silent answers nothing until its context ends.
var silent = exchangeFunc(func(ctx context.Context, _ *dns.Msg) (*dns.Msg, error) {
	<-ctx.Done()
	return nil, ctx.Err()
})

// A dead upstream costs a second per step, not its time-out, and leaves no
// goroutine behind: synctest would notice.
func TestFailoverDoesNotWaitForTheDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Inject(danetest.Fault{Effect: danetest.Delay(50 * time.Millisecond)})
		start := time.Now()
		res, err := resolver(t, w, dnssec.Failover{silent, silent, w}).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
		require.NoError(t, err)
		require.Equal(t, dnssec.Secure, res.Status, "%v", res.Reason)
		require.Equal(t, 2050*time.Millisecond, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = resolver(t, w, dnssec.Failover{silent, silent}).Lookup(ctx, "dev1.iotregistry.ca.", dns.TypeTXT)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, dnssec.ErrUpstream)
	})
}

// The slow first upstream still wins if it answers while the second is asked.
func TestFailoverTakesTheFirstGoodAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow, worse := newWorld(t), newWorld(t)
		slow.Inject(danetest.Fault{Effect: danetest.Delay(1200 * time.Millisecond)})
		worse.Inject(danetest.Fault{Effect: danetest.ServFail()})
		start := time.Now()
		res, err := resolver(t, slow, dnssec.Failover{slow, worse}).Lookup(t.Context(), "dev1.iotregistry.ca.", dns.TypeTXT)
		require.NoError(t, err)
		require.Equal(t, dnssec.Secure, res.Status, "%v", res.Reason)
		require.Equal(t, 1200*time.Millisecond, time.Since(start))
	})
}

// The system's resolvers are those of now: the file is read again on change.
func TestSystemResolversFollowTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	system := dnssec.SystemFrom(path)
	q := new(dns.Msg).SetQuestion("example.", dns.TypeA)
	_, err := system.Exchange(t.Context(), q)
	require.ErrorIs(t, err, dnssec.ErrUpstream)
	require.ErrorIs(t, err, os.ErrNotExist)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i, text := range []string{"192.0.2.1", "192.0.2.2"} {
		require.NoError(t, os.WriteFile(path, []byte("nameserver "+text+"\nnameserver ::1\n"), 0o600))
		at := time.Unix(1_700_000_000+int64(i), 0)
		require.NoError(t, os.Chtimes(path, at, at))
		_, err = system.Exchange(ended, q)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, text+":53, [::1]:53", system.(interface{ String() string }).String())
	}
}
