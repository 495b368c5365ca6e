package main

import (
	"context"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/device"
	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

// Where meters keep their profiles.
const (
	cardApplet = "iotsafe"
	cardSoft   = "soft"
)

// fit puts into the meter what is beside its eUICC on the card, and returns what
// takes the profiles that the eUICC opens; nil for nothing.
func (m *meter) fit(ctx context.Context, kind string) (func(*profile.Profile), error) {
	if kind == cardSoft {
		return nil, nil
	}
	security, err := applet.New(applet.Config{})
	if err != nil {
		return nil, err
	}
	client, err := iotsafe.Open(ctx, security, iotsafe.Options{})
	if err != nil {
		return nil, err
	}
	m.device.Source = device.FromApplet(client, registryZone)
	return func(p *profile.Profile) {
		if p == nil {
			return // between two profiles: the applet has the former until it gets the next
		}
		objects, err := applet.CIRA(p, applet.CIRAOptions{Card: security})
		if err == nil {
			err = security.Update(objects...)
		}
		m.unfit = err
	}, nil
}
