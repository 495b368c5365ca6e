package main

import (
	"context"
	"crypto/tls"
	"net/http"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/mnosim"
	"github.com/iotregistry/sdk/registry/eid"
)

// operator is the mobile operator: its SM-DP+ takes the registry's orders over
// ES2+ and tells it of progress, both by HTTPS with mutual TLS.
type operator struct {
	sim      *mnosim.Operator
	orders   *httpsServer // ES2+, for the registry
	delivery *httpsServer // for devices
	progress *httpsServer // the registry's end of ES2+
	cert     tls.Certificate
	client   *es2.Client // the registry's way to the operator
}

// newOperator starts the operator and both directions of ES2+. take is the
// registry's Progress.
func newOperator(ctx context.Context, keyDir string, take func(context.Context, mno.Progress) error) (*operator, error) {
	own, err := selfSigned(ctx, keyDir, "smdp.mno.example")
	if err != nil {
		return nil, err
	}
	reg, err := selfSigned(ctx, keyDir, "es2.registry.example")
	if err != nil {
		return nil, err
	}
	o := &operator{cert: own}
	if o.progress, err = serveHTTPS(es2.NewProgressHandler(take, nil), mutual(reg, own)); err != nil {
		return nil, err
	}
	back := &es2.Client{BaseURL: o.progress.url(), HTTP: client(reg, &own), Requester: "mno"}
	o.sim, err = mnosim.New(mnosim.Config{
		Address: own.Leaf.DNSNames[0], Notify: back.HandleDownloadProgressInfo,
	})
	if err != nil {
		return nil, err
	}
	if o.orders, err = serveHTTPS(o.sim.Handler(), mutual(own, reg)); err != nil {
		return nil, err
	}
	o.delivery, err = serveHTTPS(o.sim.DeviceHandler(), &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own},
	})
	if err != nil {
		return nil, err
	}
	o.client = &es2.Client{BaseURL: o.orders.url(), HTTP: client(own, &reg), Requester: "registry"}
	return o, nil
}

// device returns one device's way to the operator, over connections of its own.
func (o *operator) device(id eid.ID) *mnosim.Device {
	c := client(o.cert, nil)
	c.Transport.(*http.Transport).MaxIdleConnsPerHost = 1
	return &mnosim.Device{BaseURL: o.delivery.url(), HTTP: c, Device: id}
}

func (o *operator) stop() {
	for _, s := range []*httpsServer{o.orders, o.delivery, o.progress} {
		if s != nil {
			s.stop()
		}
	}
}
