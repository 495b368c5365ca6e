//go:build !nomqtt

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/iotregistry/sdk/dane"
	rt "github.com/iotregistry/sdk/profile/device"
)

// Bounds of MQTT; a device has little memory.
const (
	mqttInflight  = 16
	mqttPacket    = 64 << 10 // bytes
	mqttKeepAlive = 60       // seconds
)

// mqtt returns the sayer of -say mqtt.
func (l *live) mqtt() (sayer, error) { return l.sayMQTT, nil }

// id is the device's own.
func (l *live) id(s *rt.Session) (string, error) {
	_, id, err := dane.ParseDeviceName(s.Identity.Credentials.Name, l.registry)
	return id, err
}

// sayMQTT speaks MQTT 5 with the device's ID as client identifier: it publishes its
// status and subscribes to its commands.
func (l *live) sayMQTT(ctx context.Context, s *rt.Session) error {
	id, err := l.id(s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	client := paho.NewClient(paho.ClientConfig{
		ClientID: id, Conn: packets.NewThreadSafeConn(s.Conn), PacketTimeout: patience,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			l.order(s, string(p.Packet.Payload))
			return true, nil
		}},
		OnServerDisconnect: func(d *paho.Disconnect) {
			cancel(fmt.Errorf("the provider ends the connection: MQTT reason 0x%02X", d.ReasonCode))
		},
		OnClientError: func(err error) { cancel(err) },
	})
	if err := l.introduce(ctx, client, id); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	err = l.report(ctx, client, s, id)
	if l.stopping.Err() != nil {
		_ = client.Disconnect(&paho.Disconnect{}) // reason 0: no will is sent
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// introduce connects and subscribes.
func (l *live) introduce(ctx context.Context, client *paho.Client, id string) error {
	inflight, size := uint16(mqttInflight), uint32(mqttPacket)
	_, err := client.Connect(ctx, &paho.Connect{
		ClientID: id, KeepAlive: mqttKeepAlive, CleanStart: true,
		Properties: &paho.ConnectProperties{ReceiveMaximum: &inflight, MaximumPacketSize: &size},
	})
	if err != nil {
		return fmt.Errorf("MQTT CONNECT: %w", err)
	}
	_, err = client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "commands/" + id + "/#", QoS: 1}}})
	if err != nil {
		return fmt.Errorf("MQTT SUBSCRIBE: %w", err)
	}
	return nil
}

// report publishes the status again and again.
func (l *live) report(ctx context.Context, client *paho.Client, s *rt.Session, id string) error {
	again := time.NewTicker(l.interval)
	defer again.Stop()
	for {
		_, err := client.Publish(ctx, &paho.Publish{Topic: "devices/" + id + "/status", QoS: 1, Payload: []byte(l.status)})
		if err != nil {
			return fmt.Errorf("MQTT PUBLISH: %w", err)
		}
		l.said(s)
		select {
		case <-again.C:
		case <-l.stopping.Done():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-client.Done():
			return errGone
		}
	}
}
