package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/iotregistry/sdk/examples/internal/aspd"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web/limit"
)

// Bounds of one device over MQTT.
const (
	handshakeTime = 20 * time.Second // DNS included
	firstPacket   = 10 * time.Second // until CONNECT is there
	writeTime     = 10 * time.Second // of a packet
	farewellTime  = 2 * time.Second  // of a DISCONNECT
	lingerTime    = time.Second      // for what was said last to arrive
	maxLinger     = 1 << 20          // bytes that are read for it
	handoverTime  = 5 * time.Second  // for a device's former connection to be gone
	maxPacket     = 64 << 10
	maxWill       = 4 << 10
	maxFilters    = 16
	maxInflight   = 16
	maxPending    = 32
	maxKeepalive  = 20 * 60 // seconds
)

// broker serves MQTT to devices that TLS has admitted. Who may do what is decided
// here; the library speaks the protocol.
type broker struct {
	crowd    *crowd
	tls      *tls.Config
	zones    []string
	sessions *aspd.Sessions
	rate     *limit.Limiter
	log      *slog.Logger

	server  *mqtt.Server
	running sync.WaitGroup

	mu      sync.Mutex
	current map[eid.ID]*deviceConn // the last that has come of each device
}

func newBroker(ln net.Listener, cfg *tls.Config, limitTo int, s *service) (*broker, error) {
	b := &broker{crowd: newCrowd(ln, limitTo), tls: cfg, zones: s.cfg.zoneList, sessions: s.sessions, rate: s.rate, log: s.log, current: map[eid.ID]*deviceConn{}}
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumClients = int64(limitTo) + 1
	caps.MaximumClientWritesPending = maxPending
	caps.MaximumSessionExpiryInterval = 0 // no session outlives its connection
	caps.MaximumPacketSize = maxPacket
	caps.ReceiveMaximum, caps.MaximumInflight = maxInflight, maxInflight
	caps.TopicAliasMaximum = 0 // the library looks at the topic before it looks the alias up
	caps.SharedSubAvailable, caps.RetainAvailable = 0, 0
	caps.MinimumProtocolVersion, caps.MaximumQos = 5, 1
	b.server = mqtt.New(&mqtt.Options{
		Capabilities: caps, InlineClient: true, SysTopicResendInterval: 24 * 60 * 60,
		Logger: slog.New(slog.DiscardHandler), // it would log what devices send
	})
	if err := b.server.AddHook(&rules{broker: b}, nil); err != nil {
		return nil, err
	}
	if err := b.server.AddListener(&accepting{b}); err != nil {
		return nil, err
	}
	return b, b.server.Serve()
}

// command publishes to a device, and reports whether it has subscribed.
func (b *broker) command(id eid.ID, text []byte) bool {
	topic := commandsOf(id) + "command"
	if len(b.server.Topics.Subscribers(topic).Subscriptions) == 0 {
		return false
	}
	return b.server.Publish(topic, text, false, 1) == nil
}

// close ends all connections. The sessions were told before.
func (b *broker) close() {
	_ = b.server.Close()
}

func devicesOf(id eid.ID) string  { return "devices/" + id.String() + "/" }
func commandsOf(id eid.ID) string { return "commands/" + id.String() + "/" }

// allowed reports whether a device may publish to a topic, or subscribe to a
// filter. A filter below the device's own level matches nobody else's topics.
func allowed(id eid.ID, topic string, write bool) bool {
	own := commandsOf(id)
	if write {
		own = devicesOf(id)
	}
	return len(topic) > len(own) && strings.HasPrefix(topic, own)
}

// accepting is the library's view of the port.
type accepting struct{ *broker }

func (a *accepting) Init(*slog.Logger) error { return nil }
func (a *accepting) ID() string              { return "devices" }
func (a *accepting) Address() string         { return a.crowd.Addr().String() }
func (a *accepting) Protocol() string        { return "tls" }

func (a *accepting) Serve(establish listeners.EstablishFn) {
	for {
		raw, err := a.crowd.Accept()
		if err != nil {
			return
		}
		a.running.Go(func() { a.attend(raw.(*member), establish) })
	}
}

func (a *accepting) Close(closeClients listeners.CloseFn) {
	_ = a.crowd.Close()
	closeClients(a.ID())
	a.crowd.scatter()
	a.running.Wait()
}

// attend serves one connection.
func (a *accepting) attend(raw *member, establish listeners.EstablishFn) {
	defer raw.Close()
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	conn := tls.Server(raw, a.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		a.log.Debug("refused", "remote", raw.RemoteAddr().String(), "err", err)
		return
	}
	device, err := aspd.Identify(conn.ConnectionState(), a.zones...)
	if err != nil {
		a.log.Debug("refused", "remote", raw.RemoteAddr().String(), "err", err)
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(firstPacket))
	c := &deviceConn{Conn: conn, raw: raw, device: device, over: make(chan struct{})}
	err = establish(a.ID(), c)
	a.log.Debug("connection ended", "device", device.ID, "err", err)
	a.leave(c)
	c.linger()
}

// takeOver waits until the former connection of a device is over, which the
// sessions have ended: the library keeps clients and their filters by identifier,
// and would take those of the new connection away with the former.
func (b *broker) takeOver(c *deviceConn) bool {
	b.mu.Lock()
	former := b.current[c.device.ID]
	b.current[c.device.ID] = c
	b.mu.Unlock()
	if former == nil {
		return true
	}
	late := time.NewTimer(handoverTime)
	defer late.Stop()
	select {
	case <-former.over:
		return true
	case <-late.C:
		return false
	}
}

// leave is for a connection that the library has done with.
func (b *broker) leave(c *deviceConn) {
	b.mu.Lock()
	if b.current[c.device.ID] == c {
		delete(b.current, c.device.ID)
	}
	b.mu.Unlock()
	if c.session != nil {
		c.session.Leave()
	}
	close(c.over)
}

// deviceConn is a connection whose device is known.
type deviceConn struct {
	*tls.Conn
	raw     *member
	device  aspd.Device
	over    chan struct{} // closed when the library has done with it
	session *aspd.Session // from CONNECT on; its goroutine's alone

	mu     sync.Mutex
	closed bool
}

// SetDeadline is for reading only: writing has its own.
func (c *deviceConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return c.SetReadDeadline(t)
}

// Write gives up on peers that do not read.
func (c *deviceConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// Close ends reading, and with that the library's work on the connection. It is
// closed for good after that, see linger.
func (c *deviceConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return c.SetReadDeadline(time.Unix(1, 0))
}

// linger closes for writing and reads on for a moment: TCP tells a device that is
// still sending of a reset, and forgets what the device was to read before.
func (c *deviceConn) linger() {
	_ = c.SetWriteDeadline(time.Now().Add(lingerTime))
	_ = c.CloseWrite()
	if half, ok := c.raw.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.raw, maxLinger)
}

// farewells are what a device is told with DISCONNECT.
var farewells = map[aspd.Reason]packets.Code{
	aspd.Withdrawn: {Code: packets.ErrAdministrativeAction.Code, Reason: "the registry has withdrawn the certificate"},
	aspd.Refused:   {Code: packets.ErrAdministrativeAction.Code, Reason: "the registry does not publish the certificate"},
	aspd.Unknown:   {Code: packets.ErrAdministrativeAction.Code, Reason: "the certificate can no longer be verified"},
	aspd.Replaced:  packets.ErrSessionTakenOver,
	aspd.Ending:    packets.ErrServerShuttingDown,
}

// link lets the sessions end a client's connection.
func (b *broker) link(cl *mqtt.Client, c *deviceConn) aspd.Link {
	return aspd.Link{Kind: "mqtt", Limit: 1, Drop: func(why aspd.Reason) {
		time.AfterFunc(farewellTime, func() { c.raw.Close() }) // whatever comes of the rest
		_ = b.server.DisconnectClient(cl, farewells[why])
	}}
}

// refusal returns the code for a device that the sessions did not take.
func refusal(err error) packets.Code {
	switch {
	case errors.Is(err, aspd.ErrFull):
		return packets.ErrQuotaExceeded
	case errors.Is(err, aspd.ErrClosed):
		return packets.ErrServerUnavailable
	default:
		return packets.ErrNotAuthorized
	}
}
