package web_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/memory"
	"github.com/iotregistry/sdk/registry/web"
	"github.com/iotregistry/sdk/transfer"
)

const zone = "iotregistry.ca"

var (
	root    = registry.Actor{Account: "registry", Role: registry.RoleOperator}
	parko   = registry.Actor{Account: "parkoserv", Role: registry.RoleASP}
	carPark = registry.Actor{Account: "carparkserv", Role: registry.RoleASP}
	city    = registry.Actor{Account: "ottawa", Role: registry.RoleOwner}
	maker   = registry.Actor{Account: "maker", Role: registry.RoleMaker}
	telco   = registry.Actor{Account: "telco", Role: registry.RoleMNO}
	auditor = registry.Actor{Account: "auditor", Role: registry.RoleAuditor}
)

func actors() []registry.Actor {
	return []registry.Actor{root, parko, carPark, city, maker, telco, auditor}
}

type noZone struct{}

func (noZone) Publish(context.Context, publish.ChangeSet) (publish.Receipt, error) {
	return publish.Receipt{}, nil
}

type anyMNO struct{}

func (anyMNO) Order(_ context.Context, o mno.Order) (mno.Receipt, error) {
	return mno.Receipt{Device: o.Device, ICCID: fmt.Sprintf("89%017d", o.ProfileID), MatchingID: "M"}, nil
}

func (anyMNO) Cancel(context.Context, mno.Receipt) error { return nil }

// faulty is a store that can be down, at once or after some calls, or block.
type faulty struct {
	registry.Store
	mu      sync.Mutex
	err     error
	left    int // calls before err
	blocked bool
	tell    func()
}

func (f *faulty) set(err error) { f.after(0, err) }

func (f *faulty) after(calls int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.left = err, calls
}

func (f *faulty) block() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blocked = true
}

func (f *faulty) onBlock(tell func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell = tell
}

func (f *faulty) fault(ctx context.Context) error {
	f.mu.Lock()
	blocked, tell, err := f.blocked, f.tell, f.err
	if f.left > 0 {
		f.left--
		err = nil
	}
	f.mu.Unlock()
	if blocked {
		if tell != nil {
			tell()
		}
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (f *faulty) View(ctx context.Context, fn func(registry.Tx) error) error {
	if err := f.fault(ctx); err != nil {
		return err
	}
	return f.Store.View(ctx, fn)
}

func (f *faulty) Update(ctx context.Context, fn func(registry.Tx) error) error {
	if err := f.fault(ctx); err != nil {
		return err
	}
	return f.Store.Update(ctx, fn)
}

var errDown = errors.New("secret internals: down")

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// bench is a registry behind its front, with a token for each account.
type bench struct {
	t      testing.TB
	store  *faulty
	reg    *registry.Registry
	svc    *transfer.Service
	srv    *web.Server
	front  *httptest.Server
	log    *logged
	tokens map[string]web.Secret
	policy transfer.Policy
	auth   *profile.Authority
	check  *validating

	mu  sync.Mutex
	now time.Time
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) wait(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func signer(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func newBench(t testing.TB, change ...func(*bench, *web.Config)) *bench {
	b := &bench{t: t, store: &faulty{Store: memory.New()}, now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
		log: &logged{}, tokens: map[string]web.Secret{}}
	var err error
	b.auth, err = profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: signer(t), IssuerKey: signer(t), Now: b.clock})
	require.NoError(t, err)
	b.start(change...)
	ctx := context.Background()
	for _, a := range actors() {
		account := registry.Account{ID: a.Account, Role: a.Role}
		if a.Role == registry.RoleASP {
			account.Host, account.Port = a.Account+".ca", 443
		}
		require.NoError(t, b.reg.PutAccount(ctx, root, account))
		_, token, err := b.reg.IssueToken(ctx, root, a.Account, "test", 0)
		require.NoError(t, err)
		b.tokens[a.Account] = web.Secret(token.Reveal())
	}
	return b
}

// start makes registry and front anew on the store there is, as after a restart.
func (b *bench) start(change ...func(*bench, *web.Config)) {
	cfg := web.Config{Logger: slog.New(slog.NewJSONHandler(b.log, nil)), Poll: time.Millisecond, Now: b.clock}
	for _, f := range change {
		f(b, &cfg)
	}
	var err error
	b.reg, err = registry.New(registry.Config{
		Zone: zone, Store: b.store, Authority: b.auth, Publisher: noZone{}, Batch: 2,
		Operators: map[string]mno.Operator{telco.Account: anyMNO{}}, FirstProfileID: 11, Now: b.clock,
	})
	require.NoError(b.t, err)
	b.svc = transfer.New(b.reg, b.policy)
	cfg.Registry, cfg.Transfers = b.reg, b.svc
	b.srv, err = web.New(cfg)
	require.NoError(b.t, err)
	b.front = httptest.NewServer(b.srv)
	b.t.Cleanup(b.front.Close)
	b.check = newValidating(b.t, b.front.Client().Transport)
}

// as returns the client of an account, which does not retry.
func (b *bench) as(a registry.Actor) *web.Client {
	return &web.Client{BaseURL: b.front.URL, Token: b.tokens[a.Account], HTTP: &http.Client{Transport: b.check}, Retry: web.Retry{Attempts: 1}}
}

// validated are the operations and statuses whose answers were held against the
// OpenAPI document.
func (b *bench) validated() []string {
	b.check.mu.Lock()
	defer b.check.mu.Unlock()
	return slices.Sorted(maps.Keys(b.check.seen))
}

// raw makes a request by hand.
func (b *bench) raw(a registry.Actor, method, path, body string, headers ...string) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.(interface{ Context() context.Context }).Context(), method, b.front.URL+path, strings.NewReader(body))
	require.NoError(b.t, err)
	if a.Account != "" {
		r.Header.Set("Authorization", "Bearer "+string(b.tokens[a.Account]))
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := b.front.Client().Do(r)
	require.NoError(b.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(b.t, err)
	return res, string(text)
}

func problem(t testing.TB, text string) *web.Problem {
	t.Helper()
	p := &web.Problem{}
	require.NoError(t, json.Unmarshal([]byte(text), p), text)
	return p
}

// claim has the maker vouch for devices first..first+n-1 and returns their rows.
func (b *bench) claim(first, n int) []registry.Row {
	rows, claims := make([]registry.Row, n), make([]registry.Claim, n)
	for i := range n {
		id := eid.MustParse(fmt.Sprint(1000000000000000 + first + i))
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		require.NoError(b.t, err)
		priv, err := hpke.NewDHKEMPrivateKey(key)
		require.NoError(b.t, err)
		rows[i] = registry.Row{Line: i + 2, ID: id, Model: "Parking Meter", Version: "1.0"}
		claims[i] = registry.Claim{Device: id, Key: profile.FormatPublicKey(priv.PublicKey())}
	}
	b.allDone(b.reg.File(context.Background(), maker, claims))
	return rows
}

// active brings n devices into service with ParkoServ.
func (b *bench) active(n int) []eid.ID {
	rows := b.claim(1, n)
	b.allDone(b.reg.Import(context.Background(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: rows}))
	ids := make([]eid.ID, n)
	for i, row := range rows {
		ids[i] = row.ID
	}
	b.allDone(b.reg.Activate(context.Background(), parko, registry.Options{}, ids...))
	return ids
}

func (b *bench) allDone(results []registry.Result, err error) {
	b.t.Helper()
	require.NoError(b.t, err)
	for _, r := range results {
		require.NoError(b.t, r.Err)
	}
}

func (b *bench) work() {
	b.t.Helper()
	_, err := b.reg.Resume(context.Background(), root)
	require.NoError(b.t, err)
	_, err = b.reg.Work(context.Background(), root)
	require.NoError(b.t, err)
}
