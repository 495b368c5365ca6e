package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/device"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

//go:embed testdata/ottawa.csv
var deckCSV string

// cityList returns the owner's list: a file, or the deck's five meters followed
// by generated ones with true EIDs.
func cityList(opts options) (io.ReadCloser, error) {
	if opts.csv != "" {
		return os.Open(opts.csv)
	}
	var b strings.Builder
	sc := bufio.NewScanner(strings.NewReader(deckCSV))
	for n := -1; n < opts.devices && sc.Scan(); n++ {
		fmt.Fprintln(&b, sc.Text())
	}
	for n := 6; n <= opts.devices; n++ {
		id, err := eid.New(fmt.Sprintf("89049032%022d", n))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s,Parking Meter,1.0\n", id)
	}
	return io.NopCloser(strings.NewReader(b.String())), nil
}

// meter is one parking meter: an eUICC, the runtime around it and the way to the
// operator.
type meter struct {
	id     eid.ID // the owner's name of it; its eUICC has an EID besides
	card   *euicc.Card
	chip   *euicc.Chip
	key    crypto.Signer // of its certificates where the card has made it; nil: profiles bring theirs
	device *device.Device
	op     *operator
	unfit  error            // why the applet could not take the last profile
	old    *profile.Profile // kept by a few, for the proofs
	sealed []byte           // kept by the first: the operator's copy of its profile
}

// makeMeters is the maker's work: an eUICC with keys of its own for every meter.
// Rows that bring a public key belong to cards this program does not have.
func makeMeters(ctx context.Context, rows []registry.Row, k *factory, w *world, op *operator) ([]*meter, []registry.Claim, error) {
	var meters []*meter
	claims := make([]registry.Claim, len(rows))
	for i, row := range rows {
		claims[i] = registry.Claim{Device: row.ID, Model: row.Model, Key: row.PublicKey}
		if row.PublicKey != "" {
			continue
		}
		m, request, err := newMeter(ctx, i, row.ID, k, w, op)
		if err != nil {
			return nil, nil, err
		}
		claims[i].CSR, claims[i].Key = request, profile.FormatPublicKey(m.card.PublicKey())
		meters = append(meters, m)
	}
	return meters, claims, nil
}

// newMeter makes the n-th meter and tells the operator whose eUICC is in it. It
// returns the request for the key that the card has made, nil where it has none.
func newMeter(ctx context.Context, n int, id eid.ID, k *factory, w *world, op *operator) (*meter, []byte, error) {
	m := &meter{id: id, op: op}
	v := w.verifier(nil)
	m.device = &device.Device{Verifier: v, DialContext: dialer(v.Resolver)}
	fitted, err := k.fit(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	m.card, err = euicc.New(euicc.Config{ID: id, Key: fitted.agreement, Registry: registryZone, Use: fitted.use})
	if err != nil {
		return nil, nil, err
	}
	if m.device.Source == nil {
		m.device.Source = device.FromEUICC(m.card, m.key)
	}
	own, err := op.supply(id, n)
	if err != nil {
		return nil, nil, err
	}
	m.chip, err = euicc.NewChip(euicc.ChipConfig{
		EID: own.EID, Certificate: own.Certificate, EUM: own.EUM, Key: own.Key, CIs: own.CIs,
		EIMs: own.EIMs, Card: m.card, Issuer: smdp.DefaultIssuer,
		Trust: device.Trust(ctx, v, registryZone),
	})
	return m, fitted.request, err
}

// update asks the operator what there is to do, does it and tells how it went: the
// download, and then the enabling of what was downloaded.
func (m *meter) update(ctx context.Context) error {
	assistant, done := m.op.assistant(m.chip)
	defer done()
	report, err := assistant.Poll(ctx)
	for _, p := range report.Packages {
		err = errors.Join(err, p.Err)
	}
	err = errors.Join(err, m.unfit)
	if err != nil {
		return fmt.Errorf("meter %s: %w", m.id, errors.Join(err, m.chip.InstallError()))
	}
	return nil
}

// report connects to the provider that the current profile names and sends the
// parking status there.
func (m *meter) report(ctx context.Context, status string) error {
	conn, err := m.device.Dial(ctx)
	if err != nil {
		return fmt.Errorf("meter %s: %w", m.id, err)
	}
	defer conn.Close()
	if err := putStatus(ctx, conn, status); err != nil {
		return fmt.Errorf("meter %s: %w", m.id, err)
	}
	return nil
}

// putStatus speaks HTTP/1.1 on a connection that is verified already.
func putStatus(ctx context.Context, conn *tls.Conn, status string) error {
	host := conn.ConnectionState().ServerName
	url := fmt.Sprintf("https://%s%s?is=%s", host, statusPath, status)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, nil)
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s answers %s", host, res.Status)
	}
	return nil
}

// forEach runs fn for every meter on workers goroutines and returns how many
// succeeded and the first error.
func forEach(ctx context.Context, meters []*meter, workers int, fn func(context.Context, *meter) error) (int, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var first error
	ok := 0
	work := make(chan *meter)
	for range min(workers, len(meters)) {
		wg.Go(func() {
			for m := range work {
				err := ctx.Err()
				if err == nil {
					err = fn(ctx, m)
				}
				mu.Lock()
				if err == nil {
					ok++
				} else if first == nil {
					first = err
				}
				mu.Unlock()
			}
		})
	}
	for _, m := range meters {
		work <- m
	}
	close(work)
	wg.Wait()
	return ok, first
}

// dialTLS connects by dial and completes the handshake under cfg.
func dialTLS(ctx context.Context, dial dialFunc, host string, port uint16, cfg *tls.Config) (*tls.Conn, error) {
	raw, err := dial(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)
