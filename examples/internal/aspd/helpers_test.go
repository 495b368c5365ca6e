package aspd_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/examples/internal/aspd"
	"github.com/iotregistry/sdk/registry/eid"
)

var epoch = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

const zone = "iotregistry.ca"

// dnsWorld is a clock and what the DNS says.
type dnsWorld struct {
	mu      sync.Mutex
	now     time.Time
	ttl     time.Duration
	says    map[string]error // by name; nil: proved
	asked   map[string]int
	blocked chan struct{} // look-ups wait for it, where there is one
}

func newWorld() *dnsWorld {
	return &dnsWorld{now: epoch, ttl: time.Minute, says: map[string]error{}, asked: map[string]int{}}
}

func (w *dnsWorld) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *dnsWorld) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *dnsWorld) say(d aspd.Device, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.says[d.Name] = err
}

func (w *dnsWorld) asks(d aspd.Device) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[d.Name]
}

func (w *dnsWorld) verify(ctx context.Context, name string, _ []*x509.Certificate) (*dane.Match, error) {
	if w.blocked != nil {
		select {
		case <-w.blocked:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[name]++
	if err := w.says[name]; err != nil {
		return nil, err
	}
	return &dane.Match{Expires: w.now.Add(w.ttl)}, nil
}

func device(n, profile int) aspd.Device {
	id := eid.MustParse(fmt.Sprintf("1%015d", n))
	return aspd.Device{Name: fmt.Sprintf("%d.%s.%s", profile, id, zone), Zone: zone, ID: id, ProfileID: uint64(profile)}
}

// desk is a Sessions whose drops are noted.
type desk struct {
	*aspd.Sessions
	t     testing.TB
	world *dnsWorld
	drops chan string
}

func newDesk(t testing.TB, change func(*aspd.Sessions)) *desk {
	w := newWorld()
	d := &desk{t: t, world: w, drops: make(chan string, 1000)}
	d.Sessions = &aspd.Sessions{Verify: w.verify, Now: w.Now, Grace: 10 * time.Minute}
	if change != nil {
		change(d.Sessions)
	}
	return d
}

func (d *desk) link(dev aspd.Device, limit int) aspd.Link {
	return aspd.Link{Kind: "test", Limit: limit, Drop: func(why aspd.Reason) {
		d.drops <- fmt.Sprintf("%s/%d %s", dev.ID, dev.ProfileID, why)
	}}
}

func (d *desk) admit(dev aspd.Device) *aspd.Session {
	d.t.Helper()
	x, err := d.Admit(dev, d.link(dev, 1))
	if err != nil {
		d.t.Fatal(err)
	}
	return x
}

// over reports whether a session has ended.
func over(x *aspd.Session) bool {
	select {
	case <-x.Done():
		return true
	default:
		return false
	}
}
