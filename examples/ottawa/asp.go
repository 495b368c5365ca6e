package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// asp is a provider's service: it lets in the meters that the DNS vouches for,
// keeps their parking status and confirms them at the registry.
type asp struct {
	actor   registry.Actor
	host    string
	cert    tls.Certificate
	server  *httpsServer
	confirm func(context.Context, ...registry.Confirmation) error

	mu      sync.Mutex
	status  map[eid.ID]string
	pending []registry.Confirmation
	failed  error

	flushing sync.Mutex    // one batch at a time, so that flush waits for the one before
	wake     chan struct{} // something is pending
	quit     chan struct{}
	done     chan struct{}
}

const statusPath = "/status"

func newASP(ctx context.Context, w *world, keyDir, account, host string) (*asp, error) {
	cert, err := selfSigned(ctx, keyDir, host)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &asp{
		actor: registry.Actor{Account: account, Role: registry.RoleASP}, host: host, cert: cert,
		status: map[eid.ID]string{}, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT "+statusPath, a.putStatus)
	verify := w.verifier(nil).ServerConfig(&tls.Config{Certificates: []tls.Certificate{cert}}, registryZone)
	a.server = serveOn(ln, mux, verify)
	return a, w.publishService(ctx, host, a.port(), cert.Leaf)
}

func (a *asp) port() uint16 { return uint16(a.server.addr.Port) }

func (a *asp) account() registry.Account {
	return registry.Account{ID: a.actor.Account, Role: registry.RoleASP, Host: a.host, Port: a.port()}
}

// putStatus is what a meter calls. Who it is stands in the certificate that the
// handshake has verified by DNS.
func (a *asp) putStatus(w http.ResponseWriter, r *http.Request) {
	name, err := dane.ClientIdentity(*r.TLS, registryZone)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	profileID, device, err := dane.ParseDeviceName(name, registryZone)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	id, err := eid.Parse(device)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	a.mu.Lock()
	a.status[id] = r.URL.Query().Get("is")
	a.pending = append(a.pending, registry.Confirmation{Device: id, ProfileID: profileID})
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
	w.WriteHeader(http.StatusNoContent)
}

// start begins to confirm meters at the registry, in batches, until stop.
func (a *asp) start(confirm func(context.Context, ...registry.Confirmation) error) {
	a.confirm = confirm
	go func() {
		defer close(a.done)
		for {
			select {
			case <-a.quit:
				return
			case <-a.wake:
				time.Sleep(5 * time.Millisecond) // let a batch gather
				_ = a.flush(context.Background())
			}
		}
	}()
}

// flush confirms what is pending now and returns the first failure ever.
func (a *asp) flush(ctx context.Context) error {
	a.flushing.Lock()
	defer a.flushing.Unlock()
	a.mu.Lock()
	batch := a.pending
	a.pending = nil
	a.mu.Unlock()
	var err error
	if len(batch) > 0 {
		err = a.confirm(ctx, batch...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed == nil && err != nil {
		a.failed = fmt.Errorf("%s confirms %d meters: %w", a.host, len(batch), err)
	}
	return a.failed
}

// statuses returns the parking status of every meter seen.
func (a *asp) statuses() map[eid.ID]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.status)
}

func (a *asp) stop() error {
	a.server.stop()
	close(a.quit)
	if a.confirm != nil {
		<-a.done
	}
	return a.flush(context.Background())
}
