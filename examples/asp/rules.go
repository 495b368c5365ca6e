package main

import (
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// rules are what the broker asks about devices.
type rules struct {
	mqtt.HookBase
	broker *broker
}

// ID names the hook.
func (r *rules) ID() string { return "rules" }

// Provides says what the hook is asked.
func (r *rules) Provides(what byte) bool {
	switch what {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPublish:
		return true
	}
	return false
}

// OnConnect decides about CONNECT (MQTT 5 section 3.1) and enters the device.
func (r *rules) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	c, ok := cl.Net.Conn.(*deviceConn)
	if !ok {
		return packets.ErrNotAuthorized
	}
	if code := checkConnect(c, pk); code != packets.CodeSuccess {
		return r.refuse(cl, c, code)
	}
	cl.ID = c.device.ID.String() // one session, whichever of its names it says
	cl.Properties.Props.AssignedClientID = ""
	if pk.Connect.ClientIdentifier == "" {
		cl.Properties.Props.AssignedClientID = cl.ID
	}
	cl.Properties.Props.SessionExpiryInterval = 0
	cl.Properties.Will.WillDelayInterval = 0 // it would end with the session
	if k := cl.State.Keepalive; k == 0 || k > maxKeepalive {
		cl.State.Keepalive, cl.State.ServerKeepalive = maxKeepalive, true
	}
	session, err := r.broker.sessions.Admit(c.device, r.broker.link(cl, c))
	if err != nil {
		return r.refuse(cl, c, refusal(err))
	}
	c.session = session
	c.raw.afterwards(session.Leave)
	if !r.broker.takeOver(c) {
		return r.refuse(cl, c, packets.ErrServerBusy)
	}
	return nil
}

func (r *rules) refuse(cl *mqtt.Client, c *deviceConn, code packets.Code) error {
	r.broker.log.Info("CONNECT refused", "device", c.device.ID, "code", int(code.Code), "why", code.Reason)
	if err := r.broker.server.SendConnack(cl, code, false, nil); err != nil {
		return err
	}
	return code
}

func checkConnect(c *deviceConn, pk packets.Packet) packets.Code {
	id := pk.Connect.ClientIdentifier
	switch {
	case id != "" && !c.device.Is(id):
		return packets.ErrClientIdentifierNotValid
	case pk.Properties.AuthenticationMethod != "":
		return packets.ErrBadAuthenticationMethod
	case pk.Connect.WillFlag && (!allowed(c.device.ID, pk.Connect.WillTopic, true) || strings.ContainsAny(pk.Connect.WillTopic, "+#")):
		return packets.ErrNotAuthorized
	case len(pk.Connect.WillPayload) > maxWill:
		return packets.ErrPacketTooLarge
	}
	return packets.CodeSuccess
}

// OnConnectAuthenticate lets in whom OnConnect has entered.
func (r *rules) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	c, ok := cl.Net.Conn.(*deviceConn)
	return ok && c.session != nil
}

// OnACLCheck keeps a device to its own topics.
func (r *rules) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	c, ok := cl.Net.Conn.(*deviceConn)
	return ok && allowed(c.device.ID, topic, write)
}

// OnPacketRead bounds how often a device may send, and what it may ask to be kept.
func (r *rules) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c, ok := cl.Net.Conn.(*deviceConn)
	if !ok {
		return pk, packets.ErrRejectPacket
	}
	if ok, _ := r.broker.rate.Allow(c.device.ID.String()); !ok {
		return pk, r.hangUp(cl, c, packets.ErrMessageRateTooHigh)
	}
	if pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos > 1 { // the library would answer as for 1
		return pk, r.hangUp(cl, c, packets.ErrQosNotSupported)
	}
	if pk.FixedHeader.Type == packets.Subscribe && cl.State.Subscriptions.Len()+len(pk.Filters) > maxFilters {
		return pk, r.hangUp(cl, c, packets.ErrQuotaExceeded)
	}
	return pk, nil
}

// hangUp ends a connection for a fault of the device.
func (r *rules) hangUp(cl *mqtt.Client, c *deviceConn, code packets.Code) error {
	r.broker.log.Info("connection closed", "device", c.device.ID, "code", int(code.Code), "why", code.Reason)
	if c.session != nil { // before CONNECT there is nobody to tell
		_ = r.broker.server.DisconnectClient(cl, code)
	}
	return packets.ErrRejectPacket
}

// OnPacketEncode lets CONNACK say what is not to be had (MQTT 5 section 3.2.2.3).
func (r *rules) OnPacketEncode(_ *mqtt.Client, pk packets.Packet) packets.Packet {
	if p := &pk.Properties; pk.FixedHeader.Type == packets.Connack && pk.ReasonCode == packets.CodeSuccess.Code {
		p.RetainAvailable, p.RetainAvailableFlag = 0, true
		p.SharedSubAvailable, p.SharedSubAvailableFlag = 0, true
		p.SessionExpiryInterval, p.SessionExpiryIntervalFlag = 0, true
		p.MaximumPacketSize = maxPacket
	}
	return pk
}

// OnPublish notes what a device sends. Nothing is kept of it: a provider's own
// program begins here.
func (r *rules) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c, ok := cl.Net.Conn.(*deviceConn)
	if !ok {
		return pk, nil // the broker's own
	}
	if pk.FixedHeader.Retain {
		return pk, r.hangUp(cl, c, packets.ErrRetainNotSupported)
	}
	c.session.Touch(strings.TrimPrefix(pk.TopicName, devicesOf(c.device.ID)))
	r.broker.log.Debug("published", "device", c.device.ID, "bytes", len(pk.Payload))
	return pk, nil
}
