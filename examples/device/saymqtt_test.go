//go:build !nomqtt

package main

import (
	"net"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/iotsafe/atcsim"
)

// broker is as much of one as a device needs.
type broker struct {
	t    *testing.T
	said chan *packets.Publish
	bye  chan byte // reason of DISCONNECT
}

func (b *broker) serve(ln net.Listener) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		all.Go(func() { b.attend(conn) })
	}
}

func (b *broker) attend(conn net.Conn) {
	defer conn.Close()
	for {
		p, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		for _, answer := range b.answer(p) {
			if _, err := answer.WriteTo(conn); err != nil {
				return
			}
		}
	}
}

func (b *broker) answer(p *packets.ControlPacket) []packets.Packet {
	switch c := p.Content.(type) {
	case *packets.Connect:
		if c.ClientID != townID {
			return []packets.Packet{&packets.Connack{ReasonCode: packets.ConnackInvalidClientID, Properties: &packets.Properties{}}}
		}
		return []packets.Packet{&packets.Connack{Properties: &packets.Properties{}}}
	case *packets.Subscribe:
		topic := c.Subscriptions[0].Topic
		return []packets.Packet{
			&packets.Suback{PacketID: c.PacketID, Reasons: []byte{1}, Properties: &packets.Properties{}},
			&packets.Publish{Topic: topic[:len(topic)-1] + "command", Payload: []byte("reboot"), Properties: &packets.Properties{}},
		}
	case *packets.Publish:
		select {
		case b.said <- c:
		default:
		}
		return []packets.Packet{&packets.Puback{PacketID: c.PacketID, Properties: &packets.Properties{}}}
	case *packets.Disconnect:
		b.bye <- c.ReasonCode
	}
	return nil
}

// Over MQTT the device is known by its ID, says its status, hears its commands, and
// says goodbye.
func TestRunMQTT(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	b := &broker{t: t, said: make(chan *packets.Publish, 1), bye: make(chan byte, 1)}
	address := w.provider("parkoserv.ca", b.serve)
	s := newSocket(t, atcsim.ServeOptions{})
	w.order(s.applet, 11, "parkoserv.ca", address)
	u := w.start(&world{}, "-at", s.path, "-say", "mqtt", "-status", "Taken")
	u.connected(11)
	require.Equal(t, "reboot", u.kind("command").Text)
	u.kind("said")
	p := <-b.said
	require.Equal(t, "devices/"+townID+"/status", p.Topic)
	require.Equal(t, "Taken", string(p.Payload))
	require.Zero(t, u.end())
	require.Zero(t, <-b.bye)
}

// A provider that hangs up is one to come back to.
func TestRunMQTTRefused(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	address := w.provider("parkoserv.ca", func(ln net.Listener) {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := packets.ReadPacket(conn); err == nil {
				_, _ = (&packets.Connack{ReasonCode: packets.ConnackNotAuthorized, Properties: &packets.Properties{}}).WriteTo(conn)
			}
			conn.Close()
		}
	})
	s := newSocket(t, atcsim.ServeOptions{})
	w.order(s.applet, 11, "parkoserv.ca", address)
	u := w.start(&world{}, "-at", s.path, "-say", "mqtt")
	u.connected(11)
	require.NotEmpty(t, u.kind("ended").Error)
	u.connected(11)
	require.Zero(t, u.end())
}
