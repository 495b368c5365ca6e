package main

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/memory"
	"github.com/iotregistry/sdk/registry/web"
	"github.com/iotregistry/sdk/transfer"
)

var update = flag.Bool("update", false, "write the golden files anew")

var rootActor = registry.Actor{Account: "registry", Role: registry.RoleOperator}

type noZone struct{}

func (noZone) Publish(context.Context, publish.ChangeSet) (publish.Receipt, error) {
	return publish.Receipt{}, nil
}

type anyMNO struct{}

func (anyMNO) Order(_ context.Context, o mno.Order) (mno.Receipt, error) {
	return mno.Receipt{Device: o.Device, ICCID: fmt.Sprintf("89%017d", o.ProfileID), MatchingID: "M"}, nil
}

func (anyMNO) Cancel(context.Context, mno.Receipt) error { return nil }

// now is the clock of all offices.
func now() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

// office is a registry behind HTTPS, and a folder with what iotreg needs to call
// it. Its clock stands still, so that what is printed can be compared.
type office struct {
	t   *testing.T
	dir string
	url string
	reg *registry.Registry
}

func newOffice(t *testing.T, policy transfer.Policy) *office {
	t.Helper()
	o := &office{t: t, dir: t.TempDir()}
	authority, err := profile.NewAuthority(profile.AuthorityConfig{Registry: "iotregistry.ca", RootKey: newKey(t), IssuerKey: newKey(t), Now: now})
	require.NoError(t, err)
	trail := newKey(t)
	var api *web.Server
	o.reg, err = registry.New(registry.Config{
		Zone: "iotregistry.ca", Store: memory.New(), Authority: authority, Publisher: noZone{},
		Operators: map[string]mno.Operator{"telco": anyMNO{}, "othertel": anyMNO{}}, FirstProfileID: 11, AuditKey: trail, Now: now,
		OnJob: func(j registry.Job) { api.JobChanged(j) },
	})
	require.NoError(t, err)
	api, err = web.New(web.Config{Registry: o.reg, Transfers: transfer.New(o.reg, policy), Now: now})
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(api)
	srv.TLS = api.TLSConfig(nil)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	o.url = srv.URL
	o.file("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	der, err := x509.MarshalPKIXPublicKey(trail.Public())
	require.NoError(t, err)
	o.file("audit-key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	require.NoError(t, o.reg.PutAccount(t.Context(), rootActor, registry.Account{ID: "registry", Role: registry.RoleOperator}))
	o.token("registry")
	o.run()
	return o
}

// run does the registry's work until the test ends.
func (o *office) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = o.reg.Run(ctx, rootActor, 5*time.Millisecond) })
	o.t.Cleanup(func() { cancel(); wg.Wait() })
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func (o *office) path(name string) string { return filepath.Join(o.dir, name) }

func (o *office) file(name string, data []byte) {
	o.t.Helper()
	require.NoError(o.t, os.WriteFile(o.path(name), data, 0o600))
}

func (o *office) token(account string) {
	o.t.Helper()
	_, token, err := o.reg.IssueToken(o.t.Context(), rootActor, account, "", 0)
	require.NoError(o.t, err)
	o.file(account+".token", []byte(token.Reveal()+"\n"))
}

// parties makes the accounts of the story, and the maker's files.
func (o *office) parties() {
	o.t.Helper()
	key := newKey(o.t)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(o.t, err)
	trust := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	o.file("maker.pem", trust)
	for _, a := range []registry.Account{
		{ID: "ottawa", Role: registry.RoleOwner}, {ID: "telco", Role: registry.RoleMNO}, {ID: "othertel", Role: registry.RoleMNO},
		{ID: "parkoserv", Role: registry.RoleASP, Host: "parkoserv.ca", Port: 443}, {ID: "carparkserv", Role: registry.RoleASP, Host: "carparkserv.ca", Port: 443},
		{ID: "meterworks", Role: registry.RoleMaker, Trust: string(trust)}, {ID: "auditor", Role: registry.RoleAuditor},
	} {
		require.NoError(o.t, o.reg.PutAccount(o.t.Context(), rootActor, a))
		o.token(a.ID)
	}
	list, err := os.ReadFile("../ottawa/testdata/ottawa.csv")
	require.NoError(o.t, err)
	o.file("meters.csv", list)
	rows, _, err := registry.ReadCSV(bytes.NewReader(list))
	require.NoError(o.t, err)
	claims := o.claims(rows)
	sum := sha256.Sum256(claims)
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	require.NoError(o.t, err)
	o.file("claims.csv", claims)
	o.file("claims.csv.sig", signature)
}

func (o *office) claims(rows []registry.Row) []byte {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	_ = w.Write([]string{"Device ID", "Public Key", "CSR"})
	for i, row := range rows {
		request := "" // of the last device: its card makes its key
		if i == len(rows)-1 {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			require.NoError(o.t, err)
			csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
			require.NoError(o.t, err)
			request = base64.StdEncoding.EncodeToString(csr)
		}
		agree, err := ecdh.P256().GenerateKey(rand.Reader)
		require.NoError(o.t, err)
		card, err := hpke.NewDHKEMPrivateKey(agree)
		require.NoError(o.t, err)
		_ = w.Write([]string{row.ID.String(), profile.FormatPublicKey(card.PublicKey()), request})
	}
	w.Flush()
	return text.Bytes()
}

// iotreg runs the program as an account. Words that begin with @ are files in
// the office's folder.
func (o *office) iotreg(account, line string, more ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	args := append(strings.Fields(line), more...)
	for i, arg := range args {
		if name, ok := strings.CutPrefix(arg, "@"); ok {
			args[i] = o.path(name)
		}
	}
	var out, complaint bytes.Buffer
	env := map[string]string{"IOTREG_REGISTRY": o.url, "IOTREG_CA": o.path("ca.pem")}
	if account != "" {
		env["IOTREG_TOKEN_FILE"] = o.path(account + ".token")
	}
	p := program{
		stdin: strings.NewReader("Device ID\n1000000000000005\n"), stdout: &out, stderr: &complaint,
		getenv: func(name string) string { return env[name] }, configDir: func() (string, error) { return o.dir, nil }, now: now,
	}
	code = p.run(o.t.Context(), args)
	return code, out.String(), complaint.String()
}

// do runs a command that must succeed.
func (o *office) do(account, line string, more ...string) string {
	o.t.Helper()
	code, stdout, stderr := o.iotreg(account, line, more...)
	require.Zero(o.t, code, "%s\n%s%s", line, stdout, stderr)
	return stdout
}

// object runs a command with -json and returns the object.
func (o *office) object(account, line string, more ...string) (code int, object map[string]any) {
	o.t.Helper()
	code, stdout, stderr := o.iotreg(account, line+" -json", more...)
	require.NoError(o.t, json.Unmarshal([]byte(stdout), &object), "%s\n%s%s", line, stdout, stderr)
	require.Equal(o.t, code == 0, object["ok"], stdout)
	return code, object
}

// masks hide what differs from run to run.
var masks = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?m)^[a-z]+: [0-9]+/[0-9]+.*\n`), ""}, // progress
	{regexp.MustCompile(`[0-9a-f]{64}`), "<hash>"},
	{regexp.MustCompile(`k-[0-9a-f]{32}`), "<job>"},
	{regexp.MustCompile(`[0-9]+/[0-9]+-[0-9a-f-]+`), "<message>"},
	{regexp.MustCompile(`[0-9]{13}-[0-9a-f]+`), "<transfer>"},
	{regexp.MustCompile(`urn:iotreg:request:[0-9a-f]+`), "<request>"},
	{regexp.MustCompile(`(?m)[0-9A-Z]{5}(-[0-9A-Z]{1,5}){5}`), "<code>"},
	{regexp.MustCompile(`iotreg_[A-Za-z0-9_-]{43}`), "<token>"},
	{regexp.MustCompile(` {2,}`), "  "},
}

func (o *office) mask(text string) string {
	text = strings.ReplaceAll(text, o.dir+string(filepath.Separator), "")
	for _, m := range masks {
		text = m.re.ReplaceAllString(text, m.with)
	}
	return text
}

// golden compares text with testdata/name.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	wanted := strings.Split(string(want), "\n")
	for i, line := range strings.Split(text, "\n") { // all of it at once would be hard to read
		require.Less(t, i, len(wanted), "%s ends before %q; -update writes it anew", name, line)
		require.Equal(t, wanted[i], line, "%s line %d; -update writes it anew", name, i+1)
	}
	require.Len(t, text, len(want), name)
}

// newClock is a lab that only tells the time.
func newClock(t *testing.T) *danetest.World {
	t.Helper()
	return danetest.NewWorld(t, danetest.Config{})
}

func pemKey(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
