package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/mno/mnosim"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

// operator is the mobile operator: its SM-DP+ takes the registry's orders over
// ES2+ and tells it of progress, both by HTTPS with mutual TLS; its eIM has devices
// come over ESipa, and the SM-DP+ serves them over ES9+.
type operator struct {
	sim      *mnosim.Operator
	orders   *httpsServer // ES2+, for the registry
	delivery *httpsServer // ES9+, for devices
	manager  *httpsServer // ESipa, for devices
	progress *httpsServer // the registry's end of ES2+
	cert     tls.Certificate
	client   *es2.Client // the registry's way to the operator

	inventory sync.Map // device ID to EID, as the operator's cards were sold
	calls     *calls
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
	o := &operator{cert: own, calls: new(calls)}
	if o.progress, err = serveHTTPS(o.calls.count(3, es2.NewProgressHandler(take, nil)), mutual(reg, own)); err != nil {
		return nil, err
	}
	back := &es2.Client{BaseURL: o.progress.url(), HTTP: client(reg, &own), Requester: "mno"}
	o.sim, err = mnosim.New(mnosim.Config{
		Address: own.Leaf.DNSNames[0], Notify: back.HandleDownloadProgressInfo, SMDP: smdp.Config{EUICC: o.eidOf},
	})
	if err != nil {
		return nil, err
	}
	if o.orders, err = serveHTTPS(o.calls.count(0, o.sim.Handler()), mutual(own, reg)); err != nil {
		return nil, err
	}
	o.delivery, err = serveHTTPS(o.calls.count(2, o.sim.DeviceHandler()), &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own},
	})
	if err != nil {
		return nil, err
	}
	o.manager, err = serveHTTPS(o.calls.count(1, o.sim.EIMHandler()), &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own},
	})
	if err != nil {
		return nil, err
	}
	o.client = &es2.Client{BaseURL: o.orders.url(), HTTP: client(own, &reg), Requester: "registry"}
	return o, nil
}

// supply has the operator's card maker make the eUICC of the n-th device. A
// device that its owner calls by a number of its own gets an EID all the same.
func (o *operator) supply(device eid.ID, n int) (mnosim.EUICC, error) {
	id := device
	if id.Kind() != eid.EID {
		var err error
		if id, err = eid.New(fmt.Sprintf("890490329%021d", n)); err != nil {
			return mnosim.EUICC{}, err
		}
	}
	o.inventory.Store(device, id)
	return o.sim.EUICC(id)
}

// eidOf is the operator's inventory.
func (o *operator) eidOf(_ context.Context, device eid.ID) (eid.ID, error) {
	if id, ok := o.inventory.Load(device); ok {
		return id.(eid.ID), nil
	}
	return eid.ID{}, nil
}

// assistant returns what does in a device as the operator says, over connections
// of its own that are closed by the function.
func (o *operator) assistant(chip *euicc.Chip) (*esipa.IPA, func()) {
	c := client(o.cert, nil)
	c.Transport.(*http.Transport).MaxIdleConnsPerHost = 1
	server := &es9.Client{BaseURL: o.delivery.url(), HTTP: c}
	return &esipa.IPA{
		EIM: &esipa.Client{BaseURL: o.manager.url(), HTTP: c},
		LPA: &es9.LPA{Card: chip, Chunk: 255, Dial: func(string) (es9.Backend, error) { return server, nil }},
	}, c.CloseIdleConnections
}

func (o *operator) stop() {
	for _, s := range []*httpsServer{o.orders, o.delivery, o.manager, o.progress} {
		if s != nil {
			s.stop()
		}
	}
}
