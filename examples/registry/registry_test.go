package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web"
)

const fleet = "../ottawa/testdata/ottawa.csv"

// parties makes the accounts of the story and returns their clients.
func (r *running) parties(dir string) map[string]*web.Client {
	r.t.Helper()
	ctx, root := r.t.Context(), r.root()
	trust, err := os.ReadFile(filepath.Join(dir, "maker.pem"))
	require.NoError(r.t, err)
	clients := map[string]*web.Client{}
	for _, a := range []registry.Account{
		{ID: "ottawa", Role: registry.RoleOwner}, {ID: "meterworks", Role: registry.RoleMaker, Trust: string(trust)},
		{ID: "parkoserv", Role: registry.RoleASP, Host: "parkoserv.ca", Port: 443},
		{ID: "carparkserv", Role: registry.RoleASP, Host: "carparkserv.ca", Port: 443},
	} {
		require.NoError(r.t, root.PutAccount(ctx, a))
		_, token, err := root.IssueToken(ctx, a.ID, "test", 0)
		require.NoError(r.t, err)
		clients[a.ID] = r.client(string(token))
	}
	return clients
}

// job submits a batch and waits until all of it is done.
func (r *running) job(c *web.Client, b registry.Batch, rows ...registry.Row) {
	r.t.Helper()
	j, err := c.Submit(r.t.Context(), b, func(yield func(registry.Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	})
	require.NoError(r.t, err)
	for j, err = range c.WatchJob(r.t.Context(), j.ID) {
		require.NoError(r.t, err)
	}
	require.Equal(r.t, registry.JobDone, j.State)
	require.Zero(r.t, j.Failed)
	require.Equal(r.t, len(rows), j.Done)
}

func (r *running) lookup(name string) *dnssec.Result {
	r.t.Helper()
	f, err := os.Open(r.Anchor)
	require.NoError(r.t, err)
	defer f.Close()
	anchors, err := dnssec.ParseAnchors(f)
	require.NoError(r.t, err)
	res, err := (&dnssec.Resolver{Exchanger: &dnssec.Client{Addr: r.DNS}, Anchors: anchors}).Lookup(r.t.Context(), name, dns.TypeCERT)
	require.NoError(r.t, err)
	require.Equal(r.t, dnssec.Secure, res.Status, "%v", res.Reason)
	return res
}

// TestStory: from an empty folder to a transfer, then a restart that finds
// everything as it was.
func TestStory(t *testing.T) {
	t.Parallel()
	tellStory(t)
}

// TestStoryOnPostgres: the same where the records are in PostgreSQL.
func TestStoryOnPostgres(t *testing.T) {
	t.Parallel()
	tellStory(t, "-store", newDatabase(t))
}

// newDatabase makes a database that goes with the test.
func newDatabase(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv("REGISTRY_POSTGRES")
	if dsn == "" {
		t.Skip("REGISTRY_POSTGRES names no PostgreSQL server")
	}
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	name := strings.ToLower("service_" + rand.Text())
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		require.NoError(t, err)
	})
	u.Path = "/" + name
	return u.String()
}

func tellStory(t *testing.T, args ...string) {
	t.Helper()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	code, stdout, stderr := once(t, "maker", fleet, "-out", dir)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "claims for 5 devices")

	r := start(t, data, args...)
	ctx := t.Context()
	parties := r.parties(dir)
	parko, car, city := parties["parkoserv"], parties["carparkserv"], parties["ottawa"]
	claims, err := os.ReadFile(filepath.Join(dir, "claims.csv"))
	require.NoError(t, err)
	signature, err := os.ReadFile(filepath.Join(dir, "claims.csv.sig"))
	require.NoError(t, err)
	results, err := parko.FileSigned(ctx, bytes.NewReader(claims), signature)
	require.NoError(t, err)
	require.Empty(t, registry.Failed(results))

	f, err := os.Open(fleet)
	require.NoError(t, err)
	defer f.Close()
	rows, bad, err := registry.ReadCSV(f)
	require.NoError(t, err)
	require.Empty(t, bad)
	r.job(parko, registry.Batch{Op: registry.OpImport, Owner: "ottawa", MNO: "telco"}, rows...)
	r.job(parko, registry.Batch{Op: registry.OpActivate}, rows...)
	first := rows[0].ID
	old := r.profile(parko, first)
	require.NotEmpty(t, r.lookup(old.Name).RRs)

	ids := make([]eid.ID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	codes, err := city.IssueCodes(ctx, ids...)
	require.NoError(t, err)
	moves := make([]registry.Row, len(codes))
	for i, c := range codes {
		require.NoError(t, c.Err)
		moves[i] = registry.Row{ID: c.Device, Code: c.Code}
	}
	r.job(car, registry.Batch{Op: registry.OpTransfer}, moves...)
	current := r.profile(car, first)
	require.NotEqual(t, old.ID, current.ID)
	require.NotEmpty(t, r.lookup(old.Name).RRs, "make before break")
	results, err = car.Confirm(ctx, registry.Confirmation{Device: first, ProfileID: current.ID})
	require.NoError(t, err)
	require.Empty(t, registry.Failed(results))
	require.Empty(t, r.lookup(old.Name).RRs, "provably withdrawn")

	r.checkAudit()
	token, ca := r.files()
	require.NotContains(t, r.log.String(), token, "secrets never reach the log")
	require.Zero(t, r.stop(), "%s", r.log)

	again := start(t, data, args...)
	token2, ca2 := again.files()
	require.Equal(t, []string{token, ca}, []string{token2, ca2}, "made once")
	require.NotEmpty(t, again.lookup(current.Name).RRs, "the zone is whole before it is served")
	require.Empty(t, again.lookup(old.Name).RRs)
	again.settled(current.Name)
	require.Zero(t, again.stop(), "%s", again.log)
}

// profile returns a device's current profile.
func (r *running) profile(c *web.Client, id eid.ID) *registry.Profile {
	r.t.Helper()
	ps, err := c.Profiles(r.t.Context(), id)
	require.NoError(r.t, err)
	return ps[len(ps)-1]
}

func (r *running) files() (token, ca string) {
	r.t.Helper()
	for path, text := range map[string]*string{r.TokenFile: &token, r.CA: &ca} {
		b, err := os.ReadFile(path)
		require.NoError(r.t, err)
		*text = strings.TrimSpace(string(b))
	}
	info, err := os.Stat(r.TokenFile)
	require.NoError(r.t, err)
	require.EqualValues(r.t, 0o600, info.Mode().Perm())
	if info, err := os.Stat(filepath.Join(r.Data, "registry.db")); err == nil {
		require.EqualValues(r.t, 0o600, info.Mode().Perm())
	}
	info, err = os.Stat(r.Data)
	require.NoError(r.t, err)
	require.EqualValues(r.t, 0o700, info.Mode().Perm())
	return token, ca
}

// settled looks at the engine through the operator's token.
func (r *running) settled(name string) {
	r.t.Helper()
	n := 0
	for d, err := range r.root().Devices(r.t.Context()) {
		require.NoError(r.t, err)
		require.Equal(r.t, "carparkserv", d.Sponsor)
		n++
	}
	require.Equal(r.t, 5, n, name)
}

// checkAudit: the trail that is exported is the one whose key the program tells.
func (r *running) checkAudit() {
	r.t.Helper()
	var trail bytes.Buffer
	require.NoError(r.t, r.root().ExportAudit(r.t.Context(), &trail, 0))
	chain, err := readChain(r.AuditKey)
	require.NoError(r.t, err)
	key, err := parsePublic(chain[0])
	require.NoError(r.t, err)
	v := audit.Verifier{Log: r.Zone, Keys: key, RequireHead: true}
	report, err := v.Verify(&trail)
	require.NoError(r.t, err)
	require.NotZero(r.t, report.SignedThrough)
}

// get reads a URL without credentials.
func (r *running) get(url string) (status int, body string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	require.NoError(r.t, err)
	res, err := (&http.Client{Transport: r.transport()}).Do(req)
	require.NoError(r.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	return res.StatusCode, string(text)
}

func TestPublicPages(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "data"))
	for _, c := range []struct {
		url    string
		status int
		tells  string
	}{
		{r.API + "/healthz", 200, "ok"}, {r.API + "/readyz", 200, "ok"}, {r.API + "/openapi.json", 200, "/v1/jobs"},
		{r.API + "/rdap/help", 200, "iotreg_0"}, {r.API + "/rdap/device/1000000000000001", 401, ""},
		{r.API + "/v1/me", 401, "unauthentic"}, {r.API + "/metrics", 404, "no-route"},
		{r.Metrics, 200, `iotreg_http_requests_total{route="/healthz",method="GET",code="200"} 1`},
	} {
		status, body := r.get(c.url)
		require.Equal(t, c.status, status, c.url)
		require.Contains(t, body, c.tells, c.url)
	}
}
