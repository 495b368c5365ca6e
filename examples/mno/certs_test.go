package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
)

// TestTestCI: the CI whose key everybody has is refused, by its key ID and by its
// key, unless it is asked for.
func TestTestCI(t *testing.T) {
	t.Parallel()
	public := rsptest.SGP26(t)
	template, err := public.Template(cert.RoleCI)
	require.NoError(t, err)
	template.SubjectKeyId = []byte("another name of the same key")
	renamed, err := rsptest.IssueFor(nil, template, public.CI.Key)
	require.NoError(t, err)
	for name, ci := range map[string]*rsptest.Identity{"as it is published": public.CI, "with another key ID": renamed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, makePKI(dir, hosts{"smdp.example", "eim.example"}, time.Now()))
			for file, id := range map[string]*rsptest.Identity{"ci": ci, "eum": public.EUM, "dpauth": public.DPAuth, "dppb": public.DPPB} {
				require.NoError(t, writeIdentity(dir, file, [][]byte{id.DER}, id.Key))
			}
			for _, args := range [][]string{{}, {"euicc"}} {
				code, _, stderr := once(t, append(args, "-certs", dir, "-data", t.TempDir(), "-es2", "127.0.0.1:0", "-es9", "127.0.0.1:0", "-esipa", "127.0.0.1:0")...)
				require.Equal(t, 1, code)
				require.Contains(t, stderr, "-test-ci")
			}
		})
	}
	t.Run("it is asked for", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		require.NoError(t, makePKI(dir, hosts{"smdp.example", "eim.example"}, time.Now()))
		for file, id := range map[string]*rsptest.Identity{"ci": public.CI, "eum": public.EUM, "dpauth": public.DPAuth, "dppb": public.DPPB} {
			require.NoError(t, writeIdentity(dir, file, [][]byte{id.DER}, id.Key))
		}
		r := start(t, t.TempDir(), "-certs", dir, "-test-ci")
		card, chip := r.euicc("-test-ci")
		iccid := r.order(card.EID.String(), "TEST", "")
		res, err := r.lpa(chip).Download(t.Context(), es9.ActivationCode{Address: r.FQDN, MatchingID: "TEST"}, nil)
		require.NoError(t, err)
		require.Equal(t, iccid, res.Metadata.ICCID)
		require.Contains(t, r.log.String(), "public test CI")
	})
}

// TestCertificates: what cannot be used is named.
func TestCertificates(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		break_ func(t *testing.T, dir string)
		want   string
	}{
		"another key":   {func(t *testing.T, dir string) { replace(t, dir, "dpauth.key", "dppb.key") }, "Binding"},
		"TLS key":       {func(t *testing.T, dir string) { replace(t, dir, "dpauth.key", "server.key") }, "server.key"},
		"eIM's key":     {func(t *testing.T, dir string) { replace(t, dir, "dppb.key", "eim.key") }, "eim: Config.Certificate"},
		"no eIM":        {func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "eim.pem"))) }, "-esipa"},
		"no PEM":        {func(t *testing.T, dir string) { write(t, dir, "ci.pem", "x") }, "ci.pem"},
		"no CI":         {func(t *testing.T, dir string) { replace(t, dir, "eum.pem", "ci.pem") }, "smdp"},
		"no client CA":  {func(t *testing.T, dir string) { write(t, dir, "tls-ca.pem", "") }, "tls-ca.pem"},
		"key is public": {func(t *testing.T, dir string) { require.NoError(t, os.Chmod(filepath.Join(dir, "dppb.key"), 0o666)) }, "dppb.key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, makePKI(dir, hosts{"smdp.example", "eim.example"}, time.Now()))
			row.break_(t, dir)
			code, _, stderr := once(t, "-certs", dir, "-data", t.TempDir(), "-es2", "127.0.0.1:0", "-es9", "127.0.0.1:0", "-esipa", "127.0.0.1:0")
			require.Equal(t, 1, code)
			require.Contains(t, stderr, row.want)
		})
	}
}

func replace(t *testing.T, dir, from, to string) {
	text, err := os.ReadFile(filepath.Join(dir, from))
	require.NoError(t, err)
	write(t, dir, to, string(text))
}

func write(t *testing.T, dir, name, text string) {
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

// registryEnd is a registry that takes news over ES2+ from whom its CA knows.
type registryEnd struct {
	url string
	mu  sync.Mutex
	got []mno.Progress
}

func newRegistryEnd(t *testing.T, own, clients string) *registryEnd {
	r := &registryEnd{}
	web := httptest.NewUnstartedServer(es2.NewProgressHandler(func(_ context.Context, p mno.Progress) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, p)
		return nil
	}, nil))
	identity, err := folder(own).tls(t.Context(), "server")
	require.NoError(t, err)
	cas, err := pool(folder(clients).path("tls-ca.pem"))
	require.NoError(t, err)
	web.TLS = &tls.Config{Certificates: []tls.Certificate{identity}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: cas}
	web.StartTLS()
	t.Cleanup(web.Close)
	r.url = web.URL
	return r
}

func (r *registryEnd) points() (points []mno.Point) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.got {
		points = append(points, p.Point)
	}
	return points
}

// TestProgress: the registry hears over ES2+ what becomes of its orders, and not
// of those in the file.
func TestProgress(t *testing.T) {
	t.Parallel()
	certs, theirs := filepath.Join(t.TempDir(), "certs"), filepath.Join(t.TempDir(), "certs")
	for _, dir := range []string{certs, theirs} {
		_, err := ensurePKI(dir, hosts{"smdp.example", "eim.example"}, time.Now())
		require.NoError(t, err)
	}
	registry := newRegistryEnd(t, theirs, certs)
	orders := filepath.Join(t.TempDir(), "orders.json")
	const id = "89999901000000000000000000000067"
	require.NoError(t, os.WriteFile(orders, []byte(`[{"eid":"`+id+`","profileType":"iot"}]`), 0o600))
	r := start(t, t.TempDir(), "-certs", certs, "-orders", orders,
		"-progress", registry.url, "-progress-ca", folder(theirs).path("tls-ca.pem"))
	_, chip := r.euicc("-eid", id)

	own, err := es9.ParseActivationCode(r.Orders[0].Code)
	require.NoError(t, err)
	res, err := r.lpa(chip).Download(t.Context(), own, nil)
	require.NoError(t, err)
	require.NoError(t, res.Unsent)
	require.Empty(t, registry.points())

	r.order(id, "THEIRS", "")
	res, err = r.lpa(chip).Download(t.Context(), es9.ActivationCode{Address: r.FQDN, MatchingID: "THEIRS"}, nil)
	require.NoError(t, err)
	require.NoError(t, res.Unsent)
	require.Equal(t, []mno.Point{mno.PointDownload, mno.PointInstall}, registry.points())
}

// TestProgressIsRepeated: a registry that is not there does not lose news, since
// the eUICC keeps them.
func TestProgressIsRepeated(t *testing.T) {
	t.Parallel()
	web := httptest.NewTLSServer(http.NotFoundHandler())
	web.Close()
	r := start(t, filepath.Join(t.TempDir(), "data"), "-progress", web.URL)
	card, chip := r.euicc()
	r.order(card.EID.String(), "A", "")
	lpa := r.lpa(chip)
	lpa.Dial = func(string) (es9.Backend, error) {
		return &es9.Client{BaseURL: r.ES9, HTTP: r.client("", ""), Retry: es9.Retry{Attempts: 1}}, nil
	}
	res, err := lpa.Download(t.Context(), es9.ActivationCode{Address: r.FQDN, MatchingID: "A"}, nil)
	require.NoError(t, err)
	require.Error(t, res.Unsent)
	require.Contains(t, r.log.String(), "did not take the news")
}
