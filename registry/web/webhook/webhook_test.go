package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web/webhook"
	"github.com/stretchr/testify/require"
)

var _ webhook.Engine = (*registry.Registry)(nil)

const told = `POST /hook application/json {"account":"parkoserv","messages":true}`

func TestCallsWhenSomethingIsNew(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	b := newBench(t, r.Server, r.URL+"/hook")
	require.Zero(t, b.round(t), "an empty queue")
	require.Empty(t, r.calls())

	b.office.say("ottawa", 1) // without a webhook
	b.office.say("parkoserv", 2500)
	require.Equal(t, 1, b.round(t))
	require.Equal(t, []string{told}, r.calls(), "one call, however many messages, and nothing of them in it")
	require.Equal(t, registry.Actor{Account: "parkoserv", Role: registry.RoleASP}, b.office.actors[0], "it reads as the account")

	b.forward(time.Minute)
	require.Zero(t, b.round(t), "nothing new")
	b.office.say("parkoserv", 1)
	require.Equal(t, 1, b.round(t))
	require.Len(t, r.calls(), 1)
}

func TestRemindsOfWhatStays(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	b := newBench(t, r.Server, r.URL+"/hook")
	b.office.say("parkoserv", 1)
	require.Equal(t, 1, b.round(t))
	b.forward(time.Hour - 1)
	require.Zero(t, b.round(t))
	b.forward(1)
	require.Equal(t, 1, b.round(t))
	require.Zero(t, b.round(t))
	b.office.empty("parkoserv")
	b.forward(time.Hour)
	require.Zero(t, b.round(t), "acknowledged meanwhile")
	require.Len(t, r.calls(), 2)
}

func TestFailuresAreRepeatedMoreAndMoreRarely(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	b := newBench(t, r.Server, r.URL+"/hook")
	b.office.say("parkoserv", 1)
	for _, pause := range []time.Duration{10, 20, 40, 80, 160} {
		require.Zero(t, b.round(t))
		require.Len(t, r.calls(), 1)
		b.forward(pause*time.Second - 1)
		require.Zero(t, b.round(t))
		require.Empty(t, r.calls(), "not before %d s", pause)
		b.forward(1)
	}
	r.set(nil)
	require.Equal(t, 1, b.round(t), "nothing was forgotten")
	require.Len(t, r.calls(), 1)

	// A success ends the row of failures.
	r.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	b.office.say("parkoserv", 1)
	require.Zero(t, b.round(t))
	b.forward(10 * time.Second)
	r.set(nil)
	require.Equal(t, 1, b.round(t))
	require.Contains(t, b.log.String(), "account=parkoserv")
	require.NotContains(t, b.log.String(), "/hook", "a URL can be a secret")
}

func TestANewURLStartsAfresh(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/new" {
			w.WriteHeader(http.StatusGone)
		}
	})
	b := newBench(t, r.Server, r.URL+"/hook")
	b.office.say("parkoserv", 1)
	require.Zero(t, b.round(t))
	b.office.accounts[1].Webhook = r.URL + "/new"
	require.Equal(t, 1, b.round(t))
	b.office.accounts[1].Webhook = ""
	b.office.say("parkoserv", 1)
	require.Zero(t, b.round(t), "none any more")
}

func TestPauses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule     string
		rand     []byte
		failures int
		want     time.Duration
	}{
		{"first", nil, 1, 10 * time.Second},
		{"doubled", nil, 4, 80 * time.Second},
		{"at most an hour", nil, 10, time.Hour},
		{"however often", nil, 1 << 40, time.Hour},
		{"at least half", bytes.Repeat([]byte{255}, 8), 1, 5*time.Second + time.Duration(5e9-(1<<64-1)%uint64(5e9+1))},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil, "", func(cfg *webhook.Config) {
				if c.rand != nil {
					cfg.Rand = bytes.NewReader(c.rand)
				}
			})
			require.Equal(t, c.want, b.Pause(c.failures))
		})
	}
	random, err := webhook.New(webhook.Config{Engine: &office{}})
	require.NoError(t, err)
	for range 1000 {
		d := random.Pause(3)
		require.True(t, 20*time.Second <= d && d <= 40*time.Second, d)
	}
	broken := newBench(t, nil, "", func(cfg *webhook.Config) { cfg.Rand = iotest.ErrReader(errors.New("no chance")) })
	require.Equal(t, 10*time.Second, broken.Pause(1))
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	inside := newReceiver(t, nil)
	for _, c := range []struct {
		rule   string
		answer http.HandlerFunc
		change func(*webhook.Config)
		url    func(own string) string
		want   error
		reach  bool // the receiver is asked
	}{
		{"a redirect is not followed", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, inside.URL, http.StatusTemporaryRedirect)
		}, nil, nil, webhook.ErrRedirect, true},
		{"an error is an error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, nil, nil, webhook.ErrStatus, true},
		{"headers without end", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		}, nil, nil, nil, true},
		{"loopback", nil, private, nil, webhook.ErrAddress, false},
		{"a name that leads to loopback", nil, private, func(own string) string { return strings.Replace(own, "127.0.0.1", "localhost", 1) }, webhook.ErrAddress, false},
		{"loopback as IPv4 in IPv6", nil, private, func(own string) string { return strings.Replace(own, "127.0.0.1", "[::ffff:127.0.0.1]", 1) }, webhook.ErrAddress, false},
		{"a certificate of a stranger", nil, func(cfg *webhook.Config) { cfg.Roots = nil }, nil, nil, false},
		{"plain HTTP, though the store says so", nil, nil, func(own string) string { return strings.Replace(own, "https", "http", 1) }, webhook.ErrAddress, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, c.answer)
			url := r.URL
			if c.url != nil {
				url = c.url(url)
			}
			change := c.change
			if change == nil {
				change = func(*webhook.Config) {}
			}
			b := newBench(t, r.Server, url+"/hook?token=secret", change)
			b.office.say("parkoserv", 1)
			require.Zero(t, b.round(t))
			require.Equal(t, c.reach, len(r.calls()) == 1)
			require.Contains(t, b.log.String(), "webhook call failed")
			require.NotContains(t, b.log.String(), "secret")
			if c.want != nil {
				require.Contains(t, b.log.String(), c.want.Error())
			}
		})
	}
	t.Cleanup(func() { require.Empty(t, inside.calls(), "where the redirect pointed") })
}

func private(cfg *webhook.Config) { cfg.AllowPrivate = false }

// A receiver that never answers costs its own time-out and holds up nobody's call.
func TestSlowReceivers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and then is silent
	require.NoError(t, err)
	defer l.Close()
	r := newReceiver(t, nil)
	b := newBench(t, r.Server, r.URL+"/hook", func(cfg *webhook.Config) { cfg.Timeout, cfg.Parallel = time.Second, 2 })
	b.office.accounts = append(b.office.accounts, &registry.Account{ID: "slow", Webhook: "https://" + l.Addr().String()})
	b.office.say("slow", 1)
	b.office.say("parkoserv", 1)
	require.Equal(t, 1, b.round(t))
	require.Len(t, r.calls(), 1)
	require.Contains(t, b.log.String(), "account=slow")
}

func TestAnAnswerIsNotRead(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		for req.Context().Err() == nil { // without end, until the other side hangs up
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	b := newBench(t, r.Server, r.URL+"/hook")
	b.office.say("parkoserv", 1)
	require.Equal(t, 1, b.round(t))
}

func TestRunGoesOnUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	rounds, b := 0, (*bench)(nil)
	b = newBench(t, r.Server, r.URL+"/hook", func(cfg *webhook.Config) {
		cfg.Wait = func(ctx context.Context, d time.Duration) error {
			require.Equal(t, webhook.DefaultEvery, d)
			rounds++
			switch rounds {
			case 1: // a store that is down for one round
				b.office.down = true
			case 2:
				b.office.down = false
				b.office.say("parkoserv", 1)
			case 3:
				cancel()
			}
			return ctx.Err()
		}
	})
	require.ErrorIs(t, b.Run(ctx), context.Canceled)
	require.Len(t, r.calls(), 1)
	require.Contains(t, b.log.String(), errStore.Error())
}

func TestRunWaitsByTheClock(t *testing.T) {
	t.Parallel()
	n, err := webhook.New(webhook.Config{Engine: &office{}, Every: time.Nanosecond})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, n.Run(ctx), context.DeadlineExceeded)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for rule, cfg := range map[string]webhook.Config{
		"no engine":       {},
		"negative time":   {Engine: &office{}, Remind: -1},
		"negative number": {Engine: &office{}, Parallel: -1},
	} {
		_, err := webhook.New(cfg)
		require.ErrorIs(t, err, webhook.ErrConfig, rule)
	}
}

func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	for rule, c := range map[string]struct {
		public bool
		list   string
	}{
		"public IPv4":             {true, "8.8.8.8 1.1.1.1 100.63.255.255 172.15.0.1 172.32.0.1 192.0.1.1 223.255.255.255"},
		"public IPv6":             {true, "2001:4860:4860::8888 2606:4700::1111 2a00:1450::1"},
		"public IPv4 by NAT64":    {true, "64:ff9b::8.8.8.8"},
		"loopback":                {false, "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::127.0.0.1"},
		"private (RFC 1918)":      {false, "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 ::ffff:10.0.0.1 64:ff9b::a00:1"},
		"private (RFC 4193)":      {false, "fc00::1 fd00:ec2::254"},
		"shared (RFC 6598)":       {false, "100.64.0.1 100.127.255.255"},
		"link-local and metadata": {false, "169.254.169.254 fe80::1 fe80::1%eth0 ::ffff:169.254.169.254"},
		"unspecified":             {false, "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0"},
		"multicast, broadcast":    {false, "224.0.0.1 239.255.255.255 255.255.255.255 240.0.0.1 ff02::1"},
		"documentation, tests":    {false, "192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 2001:db8::1 3fff::1"},
		"tunnels":                 {false, "2002:7f00:1::1 2001:0:1::1 192.88.99.1"},
		"local NAT64 (RFC 8215)":  {false, "64:ff9b:1::1"},
		"old site-local, others":  {false, "fec0::1 ::127.0.0.1 100::1 5f00::1 4000::1"},
		"a zone":                  {false, "2606:4700::1111%eth0"},
	} {
		for _, a := range strings.Fields(c.list) {
			require.Equal(t, c.public, webhook.Public(netip.MustParseAddr(a)), "%s: %s", rule, a)
		}
	}
	require.False(t, webhook.Public(netip.Addr{}))
}

func ExampleNotifier() {
	t := &testing.T{}
	asp := newReceiver(t, nil)
	defer asp.Close()
	b := newBench(t, asp.Server, asp.URL+"/hook")
	b.office.say("parkoserv", 3)

	// Run does this again and again.
	calls, err := b.Round(context.Background())
	fmt.Println(calls, err)
	fmt.Println(asp.calls()[0])
	// Output:
	// 1 <nil>
	// POST /hook application/json {"account":"parkoserv","messages":true}
}
