package main

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/iotregistry/sdk/registry/eid"
)

// FuzzAllowed: whatever filter a device may subscribe to, it gets nothing of
// another device.
func FuzzAllowed(f *testing.F) {
	for _, s := range []string{"commands/1000000000000001/#", "commands/+/#", "#", "$share/x/commands/1000000000000001/#", "commands/1000000000000001/../1000000000000002/x", "devices/1000000000000001/x"} {
		f.Add(s)
	}
	own, others := mustID("1000000000000001"), mustID("1000000000000002")
	f.Fuzz(func(t *testing.T, filter string) {
		require.False(t, allowed(own, filter, true) && allowed(own, filter, false))
		require.False(t, allowed(own, filter, true) && allowed(others, filter, true))
		if !allowed(own, filter, false) || !mqtt.IsValidFilter(filter, false) {
			return
		}
		index := mqtt.NewTopicsIndex()
		index.Subscribe("me", packets.Subscription{Filter: filter})
		for _, topic := range []string{commandsOf(others) + "command", devicesOf(own) + "status", devicesOf(others) + "status", "$SYS/broker/time"} {
			require.Empty(t, index.Subscribers(topic).Subscriptions, "%q gets %s", filter, topic)
		}
	})
}

// FuzzRequests: what devices put into requests.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{"Free", "", "30", "60", "-1", `{"t":[1,{"a":null}]}`, `{"a":1,"a":2}`, "1e999", "[[[[[[[[[]]]]]]]]]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if status, err := parseStatus(text); err == nil {
			require.Equal(t, text, status)
			require.LessOrEqual(t, len(status), maxStatus)
			require.False(t, strings.ContainsAny(status, "<>&\"'\n\x1b"))
		}
		if wait, err := parseWait(text); err == nil {
			require.True(t, wait >= 0 && wait <= maxPoll*time.Second)
		}
		_ = checkTelemetry([]byte(text))
		if id, err := eid.Parse(text); err == nil {
			require.False(t, strings.ContainsAny(commandsOf(id), "+#"))
		}
	})
}

// FuzzFlags: lists of zones and servers on the command line.
func FuzzFlags(f *testing.F) {
	for _, s := range []string{"iotregistry.ca, example.net.", "9.9.9.9,tls://dns.example:853", "[::1]:53", "tcp://", "*.ca", ":53", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c := (&settings{flags: flags{host: host, zones: text}}); c.checkNames() == nil {
			require.NotEmpty(t, c.zoneList)
			require.NotContains(t, c.zoneList, "")
		}
		if x, err := upstream(text); err == nil {
			require.NotEmpty(t, x.Addr)
		}
	})
}

// FuzzPackets: whatever an admitted device sends after CONNECT, the broker serves
// the next, and nothing of the one before is left.
func FuzzPackets(f *testing.F) {
	for _, s := range []string{
		"\xc0\x00", "\x30\x24\x00\x1fdevices/1000000000000001/status\x00xx", "\x32\x24\x00\x1fdevices/1000000000000001/status\x00\x01\x00",
		"\x82\x21\x00\x01\x00\x00\x1bcommands/1000000000000001/#\x01", "\xa2\x20\x00\x01\x00\x00\x1bcommands/1000000000000001/#",
		"\x62\x02\x00\x01", "\x50\x02\x00\x01", "\xe0\x00", "\xf0\x00", "\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00", "\x30\xff\xff\xff\x7f",
	} {
		f.Add([]byte(s))
	}
	c := newCloud(f, nil, unhurried)
	cfg := c.config(c.device(meter))
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := tls.Dial("tcp", c.where.MQTT, cfg)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = conn.Write([]byte("\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00"))
		require.NoError(t, err)
		head := make([]byte, 4)
		_, err = conn.Read(head)
		require.NoError(t, err)
		require.Equal(t, byte(0x20), head[0], "CONNACK")
		_, _ = conn.Write(data)
		_, _ = conn.Write([]byte("\xe0\x00"))
		_ = conn.CloseWrite()
		for err == nil {
			_, err = conn.Read(make([]byte, 4096))
		}
		var late net.Error
		require.False(t, errors.As(err, &late) && late.Timeout() || errors.Is(err, os.ErrDeadlineExceeded), "it hangs")
	})
}
