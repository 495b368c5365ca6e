package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/examples/internal/aspd"
	"github.com/iotregistry/sdk/registry/eid"
)

// client is a device over MQTT.
type client struct {
	*paho.Client
	t        testing.TB
	conn     net.Conn
	ack      *paho.Connack
	bye      chan byte // reason of DISCONNECT
	commands chan string
}

// connect connects a device and returns the client, and the error of CONNECT.
func (c *cloud) connect(cert tls.Certificate, change func(*paho.Connect)) (*client, error) {
	c.t.Helper()
	conn, err := c.dial(c.MQTT, cert)
	require.NoError(c.t, err)
	return c.connectOn(conn, change)
}

// connectOn is connect on a connection that there is.
func (c *cloud) connectOn(conn net.Conn, change func(*paho.Connect)) (m *client, err error) {
	c.t.Helper()
	safe := packets.NewThreadSafeConn(conn)
	m = &client{t: c.t, conn: safe, bye: make(chan byte, 1), commands: make(chan string, 100)}
	m.Client = paho.NewClient(paho.ClientConfig{
		Conn: safe, PacketTimeout: 10 * time.Second,
		OnServerDisconnect: func(d *paho.Disconnect) { m.bye <- d.ReasonCode },
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			m.commands <- string(p.Packet.Payload)
			return true, nil
		}},
	})
	cp := &paho.Connect{ClientID: "1000000000000001", KeepAlive: 60, CleanStart: true}
	if change != nil {
		change(cp)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	m.ack, err = m.Connect(ctx, cp)
	return m, err
}

func (c *cloud) mustConnect(cert tls.Certificate, id string) *client {
	c.t.Helper()
	m, err := c.connect(cert, func(cp *paho.Connect) { cp.ClientID = id })
	require.NoError(c.t, err)
	return m
}

// gone waits for the end of the connection, and requires that DISCONNECT told this
// reason; 0 is none.
func (m *client) gone(want byte) {
	m.t.Helper()
	late := time.After(10 * time.Second)
	select {
	case <-m.Done():
	case <-late:
		require.Fail(m.t, "the connection stays")
	}
	if want == 0 {
		return
	}
	select { // told by a goroutine of its own
	case code := <-m.bye:
		require.Equal(m.t, want, code)
	case <-late:
		require.Fail(m.t, "no reason was told")
	}
}

// retained publishes what the client would not let out.
func (m *client) retained(topic, payload string) {
	text := append([]byte{0, byte(len(topic))}, topic...)
	text = append(append(text, 0), payload...)
	_, err := m.conn.Write(append([]byte{0x31, byte(len(text))}, text...))
	require.NoError(m.t, err)
}

func (m *client) publish(topic string, qos byte, payload string) (byte, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), 10*time.Second)
	defer cancel()
	res, err := m.Publish(ctx, &paho.Publish{Topic: topic, QoS: qos, Payload: []byte(payload)})
	if res == nil {
		return 0, err
	}
	return res.ReasonCode, err
}

func TestMQTTAdmits(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	cert := c.device(meter)
	for _, id := range []string{"1000000000000001", meter, ""} {
		m := c.mustConnect(cert, id)
		require.Equal(t, id == "", m.ack.Properties.AssignedClientID == "1000000000000001")
		require.False(t, m.ack.Properties.RetainAvailable)
		require.False(t, m.ack.Properties.SharedSubAvailable)
		require.Equal(t, uint32(maxPacket), *m.ack.Properties.MaximumPacketSize)
		code, err := m.publish("devices/1000000000000001/status", 1, "Free")
		require.NoError(t, err)
		require.Less(t, code, byte(0x80))
		list := c.sessions.List()
		require.Len(t, list, 1)
		require.Equal(t, "1000000000000001", list[0].Device)
		require.Equal(t, uint64(11), list[0].Profile)
		require.Equal(t, "status", list[0].Message)
		require.NoError(t, m.Disconnect(&paho.Disconnect{}))
		require.Eventually(t, func() bool { return len(c.sessions.List()) == 0 }, 10*time.Second, time.Millisecond)
	}
}

func TestTLSRefuses(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		rule    string
		name    string
		publish bool
		fault   *danetest.Fault
		queries bool
	}{
		{"a foreign zone, before anything is looked up", "11.1000000000000001.example.org", false, nil, false},
		{"no CERT", meter, false, nil, true},
		{"a bogus answer", meter, true, &danetest.Fault{Name: meter, Effect: danetest.FlipSignature()}, true},
		{"SERVFAIL", meter, true, &danetest.Fault{Name: meter, Effect: danetest.ServFail()}, true},
		{"no answer", meter, true, &danetest.Fault{Effect: danetest.Drop()}, true},
	} {
		t.Run(k.rule, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, nil)
			cert := mint(t, k.name)
			if k.publish {
				c.world.AddCERT(k.name, cert.Leaf.Raw)
			}
			if k.fault != nil {
				c.world.Inject(*k.fault)
			}
			for _, addr := range []string{c.where.MQTT, c.where.HTTPS} {
				c.refused(addr, cert)
				require.Equal(t, k.queries, len(c.world.Queries()) > 0)
			}
			require.Empty(t, c.sessions.List())
		})
	}
	t.Run("no certificate, and another one than is published", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, nil)
		c.device(meter)
		c.refused(c.where.MQTT)
		c.refused(c.where.MQTT, mint(t, meter))
		require.Empty(t, c.sessions.List())
	})
	t.Run("more certificates than are kept", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, nil)
		cert := c.device(meter)
		for range 40 {
			cert.Certificate = append(cert.Certificate, cert.Certificate[0])
		}
		c.refused(c.where.MQTT, cert)
		c.refused(c.where.HTTPS, cert)
	})
	t.Run("a name that is no device's", func(t *testing.T) {
		t.Parallel()
		c := newCloud(t, nil)
		conn, err := c.dial(c.where.MQTT, c.device("www.iotregistry.ca"))
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = conn.Read(make([]byte, 1))
		require.Error(t, err)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, c.sessions.List())
	})
}

// TestWithdrawn: a connected device whose CERT is withdrawn is dropped when its
// answer has run out, and does not come back.
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	cert := c.device(meter)
	m := c.mustConnect(cert, "")
	peer := c.mustConnect(c.device(other), "")
	c.sessions.Check(t.Context())
	require.Equal(t, aspd.Verified, c.sessions.List()[0].Verdict)
	c.world.Withdraw(meter + ".")
	c.world.Advance(time.Minute)
	c.sessions.Check(t.Context())
	m.gone(0x98)
	require.Len(t, c.sessions.List(), 1)
	c.refused(c.where.MQTT, cert)
	_, err := peer.publish("devices/1000000000000002/status", 1, "Free")
	require.NoError(t, err, "others stay")
}

// TestGrace: nobody is dropped for a failure of the DNS before the time of grace is
// over.
func TestGrace(t *testing.T) {
	t.Parallel()
	for rule, effect := range map[string]danetest.Effect{
		"SERVFAIL": danetest.ServFail(), "bogus": danetest.FlipSignature(), "silence": danetest.Drop(),
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, nil)
			m := c.mustConnect(c.device(meter), "")
			c.sessions.Check(t.Context())
			c.world.Inject(danetest.Fault{Under: "iotregistry.ca.", Effect: effect})
			c.world.Advance(time.Minute)
			c.sessions.Check(t.Context())
			require.Equal(t, aspd.Unverified, c.sessions.List()[0].Verdict)
			_, err := m.publish("devices/1000000000000001/status", 1, "Free")
			require.NoError(t, err)
			c.world.Advance(10 * time.Minute)
			c.sessions.Check(t.Context())
			m.gone(0x98)
		})
	}
}

func TestConnectRefused(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	cert := c.device(meter)
	c.device(other)
	will := func(topic string, mods ...func(*paho.WillMessage)) func(*paho.Connect) {
		return func(cp *paho.Connect) {
			cp.WillMessage = &paho.WillMessage{Topic: topic, Payload: []byte("gone")}
			for _, m := range mods {
				m(cp.WillMessage)
			}
		}
	}
	for _, k := range []struct {
		rule   string
		change func(*paho.Connect)
		code   byte
	}{
		{"the identifier of another device", func(cp *paho.Connect) { cp.ClientID = "1000000000000002" }, 0x85},
		{"the name of another device", func(cp *paho.Connect) { cp.ClientID = other }, 0x85},
		{"any other identifier", func(cp *paho.Connect) { cp.ClientID = "meter" }, 0x85},
		{"other authentication", func(cp *paho.Connect) { cp.Properties = &paho.ConnectProperties{AuthMethod: "x"} }, 0x8c},
		{"a will to another device's topic", will("devices/1000000000000002/status"), 0x87},
		{"a will to commands", will("commands/1000000000000001/x"), 0x87},
		{"a will that is retained", will("devices/1000000000000001/will", func(w *paho.WillMessage) { w.Retain = true }), 0x9a},
		{"a will of QoS 2", will("devices/1000000000000001/will", func(w *paho.WillMessage) { w.QoS = 2 }), 0x9b},
		{"a large will", will("devices/1000000000000001/will", func(w *paho.WillMessage) { w.Payload = make([]byte, maxWill+1) }), 0x95},
	} {
		t.Run(k.rule, func(t *testing.T) {
			m, err := c.connect(cert, k.change)
			require.Error(t, err)
			require.NotNil(t, m.ack)
			require.Equal(t, k.code, m.ack.ReasonCode)
			require.Empty(t, c.sessions.List())
		})
	}
	_, err := c.connect(cert, will("devices/1000000000000001/will"))
	require.NoError(t, err)
}

func TestTopics(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	m, peer := c.mustConnect(c.device(meter), ""), c.mustConnect(c.device(other), "")
	for topic, ok := range map[string]bool{
		"devices/1000000000000001/a/b": true, "devices/1000000000000001/": false, "devices/1000000000000001": false,
		"devices/1000000000000002/status": false, "commands/1000000000000001/x": false, "commands/1000000000000002/x": false,
		"status": false,
	} {
		code, _ := m.publish(topic, 1, "x")
		require.Equal(t, ok, code < 0x80, "%s: %#x", topic, code)
	}
	for filter, ok := range map[string]bool{
		"commands/1000000000000001/#": true, "commands/1000000000000001/+": true,
		"commands/1000000000000002/#": false, "commands/#": false, "commands/+/#": false, "#": false, "+/+/+": false,
		"devices/1000000000000001/#": false, "$share/g/commands/1000000000000001/#": false, "$SYS/#": false,
	} {
		_, err := m.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1}}})
		require.Equal(t, ok, err == nil, filter)
	}
	id := c.sessions.Of(mustID("1000000000000001"))[0].Device.ID
	require.True(t, c.broker.command(id, []byte("open")))
	require.Equal(t, "open", <-m.commands)
	require.False(t, c.broker.command(mustID("1000000000000002"), []byte("open")), "it has not subscribed")
	require.Empty(t, peer.commands)
}

// TestReplaced: the new connection of a device ends the former, also under its
// other identifier and another profile.
func TestReplaced(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	first := c.mustConnect(c.device(meter), meter)
	second := c.mustConnect(c.device("13.1000000000000001.iotregistry.ca"), "1000000000000001")
	first.gone(0x8e)
	_, err := second.publish("devices/1000000000000001/status", 1, "Free")
	require.NoError(t, err)
	require.Len(t, c.sessions.List(), 1)
	require.Equal(t, uint64(13), c.sessions.List()[0].Profile)
}

// TestHandover: what a device subscribes to after it has replaced its former
// connection is not lost with that.
func TestHandover(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil, unhurried)
	cert := c.device(meter)
	for n := range 50 {
		m := c.mustConnect(cert, "")
		_, err := m.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "commands/1000000000000001/#", QoS: 1}}})
		require.NoError(t, err)
		text := fmt.Sprint(n)
		require.True(t, c.broker.command(mustID("1000000000000001"), []byte(text)))
		require.Equal(t, text, <-m.commands)
	}
	var wg sync.WaitGroup
	for range 10 { // all at once: one stays
		wg.Go(func() { _, _ = c.connect(cert, nil) })
	}
	wg.Wait()
	require.Eventually(t, func() bool {
		c.broker.mu.Lock()
		defer c.broker.mu.Unlock()
		return len(c.sessions.List()) == 1 && len(c.broker.current) == 1 && c.broker.server.Clients.Len() == 2 // and the broker's own
	}, 10*time.Second, time.Millisecond)
}

func TestFaultsOfDevices(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		rule string
		do   func(c *cloud, m *client)
		code byte
	}{
		{"a retained message", func(_ *cloud, m *client) {
			m.retained("devices/1000000000000001/status", "Free")
		}, 0x9a},
		{"QoS 2", func(_ *cloud, m *client) {
			_, err := m.conn.Write([]byte("\x34\x24\x00\x1fdevices/1000000000000001/status\x00\x01\x00"))
			require.NoError(m.t, err)
		}, 0x9b},
		{"a packet that is too large", func(_ *cloud, m *client) {
			_, _ = m.publish("devices/1000000000000001/status", 0, strings.Repeat("x", maxPacket))
		}, 0},
		{"too many filters", func(_ *cloud, m *client) {
			var subs []paho.SubscribeOptions
			for n := range maxFilters + 1 {
				subs = append(subs, paho.SubscribeOptions{Topic: fmt.Sprintf("commands/1000000000000001/%d", n)})
			}
			ctx, cancel := context.WithCancel(m.t.Context())
			go func() { <-m.Done(); cancel() }() // the client would wait
			_, _ = m.Subscribe(ctx, &paho.Subscribe{Subscriptions: subs})
		}, 0x97},
		{"too many messages", func(_ *cloud, m *client) {
			for range burst + 100 {
				if _, err := m.publish("devices/1000000000000001/status", 0, "Free"); err != nil {
					return
				}
			}
		}, 0x96},
	} {
		t.Run(k.rule, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, nil)
			m := c.mustConnect(c.device(meter), "")
			var wg sync.WaitGroup
			wg.Go(func() { k.do(c, m) })
			m.gone(k.code)
			wg.Wait()
			require.Eventually(t, func() bool { return len(c.sessions.List()) == 0 }, 10*time.Second, time.Millisecond)
		})
	}
}

// TestGarbage: whatever a device sends, others are served.
func TestGarbage(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	cert := c.device(meter)
	peer := c.mustConnect(c.device(other), "")
	for _, bytes := range []string{
		"GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x00", "\x10\xff\xff\xff\xff\xff", "\x10\xff\xff\xff\x7f", "\x30\x03\x00\x01a\x00",
		"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a", // MQTT 3.1.1
		"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00\xff", "\xf0\x00", "\xe0\x00",
	} {
		conn, err := c.dial(c.where.MQTT, cert)
		require.NoError(t, err)
		_, err = conn.Write([]byte(bytes))
		require.NoError(t, err)
		require.NoError(t, conn.CloseWrite())
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		for err == nil {
			_, err = conn.Read(make([]byte, 100))
		}
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	}
	_, err := peer.publish("devices/1000000000000002/status", 1, "Free")
	require.NoError(t, err)
	require.Len(t, c.sessions.List(), 1)
}

// TestManyDevices: those that there is room for, and no more.
func TestManyDevices(t *testing.T) {
	t.Parallel()
	const room = 20
	c := newCloud(t, func(f *flags) { f.max = room })
	var all []*client
	for n := range room {
		name := fmt.Sprintf("%d.10000000000001%02d.iotregistry.ca", 100+n, n)
		all = append(all, c.mustConnect(c.device(name), ""))
	}
	require.Len(t, c.sessions.List(), room)
	m, err := c.connect(c.device(meter), nil)
	require.Error(t, err)
	require.Equal(t, byte(0x97), m.ack.ReasonCode)
	require.NoError(t, all[0].Disconnect(&paho.Disconnect{}))
	require.Eventually(t, func() bool { return len(c.sessions.List()) < room }, 10*time.Second, time.Millisecond)
	c.mustConnect(c.device("14.1000000000000001.iotregistry.ca"), "")
	c.sessions.Check(t.Context())
	for _, state := range c.sessions.List() {
		require.Equal(t, aspd.Verified, state.Verdict)
	}
	c.stop()
	all[1].gone(0x8b)
}

// TestTLSARecords: a device may be published by TLSA as well.
func TestTLSARecords(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	cert := mint(t, meter)
	text, err := dns.CertificateToDANE(1, 1, cert.Leaf)
	require.NoError(t, err)
	c.world.Add(meter + ". 60 IN TLSA 3 1 1 " + text)
	c.mustConnect(cert, "")
	c.sessions.Check(t.Context())
	require.Equal(t, aspd.Verified, c.sessions.List()[0].Verdict)
}

func mustID(text string) eid.ID { return eid.MustParse(text) }
