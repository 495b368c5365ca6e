package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/examples/internal/cardfile"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/profile/euicc"
)

// buffer may be written while it is read.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// running is the program while it serves.
type running struct {
	where
	t    *testing.T
	data string
	log  *buffer
	stop func() int // tells it to end, waits, and returns the exit status
}

// start runs the program on free ports of loopback until the test ends.
func start(t *testing.T, data string, args ...string) *running {
	t.Helper()
	r := &running{t: t, data: data, log: &buffer{}}
	ctx, cancel := context.WithCancel(t.Context())
	stdout, w := io.Pipe()
	code := make(chan int, 1)
	args = append([]string{"-json", "-data", data, "-es2", "127.0.0.1:0", "-es9", "127.0.0.1:0", "-esipa", "127.0.0.1:0", "-log-format", "json"}, args...)
	go func() {
		code <- run(ctx, args, w, r.log)
		w.Close()
	}()
	r.stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { r.stop() })
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(t, err, "%s", r.log)
	require.NoError(t, json.Unmarshal(line, &r.where))
	return r
}

// once runs the program to its end.
func once(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	code = run(t.Context(), args, &out, &log)
	return code, out.String(), log.String()
}

// client trusts the folder's CA and shows one of its certificates, if there is a
// name.
func (r *running) client(certs, name string) *http.Client {
	r.t.Helper()
	roots, err := pool(folder(r.Certs).path("tls-ca.pem"))
	require.NoError(r.t, err)
	cfg := &tls.Config{RootCAs: roots}
	if name != "" {
		own, err := folder(certs).tls(r.t.Context(), name)
		require.NoError(r.t, err)
		cfg.Certificates = []tls.Certificate{own}
	}
	tr := &http.Transport{TLSClientConfig: cfg}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// post calls ES2+ as curl would.
func (r *running) post(c *http.Client, path, members string) (status int, answer map[string]any, err error) {
	r.t.Helper()
	body := `{"header":{"functionRequesterIdentifier":"registry","functionCallIdentifier":"1"},` + members + `}`
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.ES2+path, strings.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Admin-Protocol", es2.Version)
	res, err := c.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	_ = json.Unmarshal(text, &answer) // some answers are text
	return res.StatusCode, answer, nil
}

// order orders and confirms; it returns the ICCID.
func (r *running) order(eid, matchingID, code string) string {
	r.t.Helper()
	c := r.client(r.Certs, "es2-client")
	status, answer, err := r.post(c, es2.PathDownloadOrder, fmt.Sprintf(`"eid":%q,"profileType":"iot"`, eid))
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusOK, status)
	iccid, _ := answer["iccid"].(string)
	require.NotEmpty(r.t, iccid, "%v", answer)
	status, answer, err = r.post(c, es2.PathConfirmOrder,
		fmt.Sprintf(`"iccid":%q,"matchingId":%q,"confirmationCode":%q,"releaseFlag":true`, iccid, matchingID, code))
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusOK, status)
	require.Equal(r.t, matchingID, answer["matchingId"])
	return iccid
}

// euicc makes an identity and puts it into a chip.
func (r *running) euicc(args ...string) (*cardfile.Card, *euicc.Chip) {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "card.json")
	code, stdout, stderr := once(r.t, append([]string{"euicc", "-data", r.data, "-certs", r.Certs, "-out", file}, args...)...)
	require.Zero(r.t, code, stderr)
	require.Contains(r.t, stdout, file)
	c, err := cardfile.Read(file)
	require.NoError(r.t, err)
	key, err := c.Signer()
	require.NoError(r.t, err)
	chip, err := euicc.NewChip(euicc.ChipConfig{EID: c.EID, Certificate: c.Certificate, EUM: c.EUM, CIs: c.CIs, Key: key, DefaultSMDP: c.SMDP, EIMs: [][]byte{c.EIMConfiguration}})
	require.NoError(r.t, err)
	return c, chip
}

func (r *running) lpa(chip *euicc.Chip) *es9.LPA {
	return &es9.LPA{Card: chip, Dial: func(string) (es9.Backend, error) {
		return &es9.Client{BaseURL: r.ES9, HTTP: r.client("", "")}, nil
	}}
}

// TestStarts: what the first start makes, the second uses, and nobody else can
// read its keys.
func TestStarts(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	read := func() map[string]string {
		files := map[string]string{}
		require.NoError(t, filepath.WalkDir(filepath.Join(data, "certs"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			require.NoError(t, err)
			if strings.HasSuffix(path, ".key") {
				require.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), path)
			}
			text, err := os.ReadFile(path)
			files[d.Name()] = string(text)
			return err
		}))
		return files
	}
	r := start(t, data)
	require.True(t, r.Made)
	require.Equal(t, "smdp.example", r.FQDN)
	require.Zero(t, r.stop(), "%s", r.log)
	made := read()
	require.Len(t, made, 18)
	r = start(t, data)
	require.False(t, r.Made)
	require.Zero(t, r.stop())
	require.Equal(t, made, read())

	require.NoError(t, os.Remove(filepath.Join(data, "certs", "dppb.key")))
	code, _, stderr := once(t, "-data", data)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "dppb.key", "what is missing from a folder with something in it is not made")
}

// TestMutualTLS: ES2+ is for those whose certificate the CA has made, ES9+ for
// everybody.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "data"))
	other := start(t, filepath.Join(t.TempDir(), "data"))
	members := `"eid":"89049032123451234512345678901235","profileType":"iot"`

	status, _, err := r.post(r.client("", ""), es2.PathDownloadOrder, members)
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, status, "no certificate")
	_, _, err = r.post(r.client(other.Certs, "es2-client"), es2.PathDownloadOrder, members)
	require.Error(t, err, "somebody else's CA: no handshake")
	_, _, err = r.post(r.client(r.Certs, "server"), es2.PathDownloadOrder, members)
	require.Error(t, err, "a server's certificate is no client's")
	status, _, err = r.post(r.client(r.Certs, "es2-client"), es2.PathDownloadOrder, members)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)

	named := start(t, filepath.Join(t.TempDir(), "data"), "-es2-client-ca", folder(other.Certs).path("tls-ca.pem"))
	status, _, err = named.post(named.client(other.Certs, "es2-client"), es2.PathDownloadOrder, members)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, "-es2-client-ca is believed")
	_, _, err = named.post(named.client(named.Certs, "es2-client"), es2.PathDownloadOrder, members)
	require.Error(t, err, "and instead of the folder's")

	res, err := r.client("", "").Get(r.ES9 + es9.PathInitiateAuthentication)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode, "ES9+ talks to devices without a certificate")
}

// TestDownload: an order over ES2+ is downloaded by an eUICC that the program has
// made, in both bindings.
func TestDownload(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "data"))
	card, chip := r.euicc()
	require.True(t, strings.HasPrefix(card.EID.String(), eumRange))
	for _, asn1 := range []bool{false, true} {
		id := map[bool]string{false: "JSON", true: "ASN1"}[asn1]
		iccid := r.order(card.EID.String(), id, "")
		lpa := r.lpa(chip)
		lpa.Dial = func(string) (es9.Backend, error) {
			return &es9.Client{BaseURL: r.ES9, HTTP: r.client("", ""), ASN1: asn1}, nil
		}
		res, err := lpa.Download(t.Context(), es9.ActivationCode{Address: r.FQDN, MatchingID: id}, nil)
		require.NoError(t, err, id)
		require.NoError(t, res.Unsent)
		require.Equal(t, iccid, res.Metadata.ICCID)
	}
	require.Contains(t, r.log.String(), `"point":4`)
	require.NotContains(t, r.log.String(), "ASN1", "matching IDs are not logged")
}

func TestUsage(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":            {[]string{"-nope"}, "-nope"},
		"unknown word":            {[]string{"serve"}, "serve"},
		"ES2+ without a port":     {[]string{"-es2", "localhost"}, "-es2"},
		"ES9+ without a port":     {[]string{"-es9", "localhost"}, "-es9"},
		"ESipa without a port":    {[]string{"-esipa", "localhost"}, "-esipa"},
		"eIM's name is none":      {[]string{"-eim-fqdn", "a b"}, "-eim-fqdn"},
		"no name of the eIM":      {[]string{"-eim-fqdn", ""}, "-eim-fqdn"},
		"name that is none":       {[]string{"-fqdn", "a b"}, "-fqdn"},
		"no name":                 {[]string{"-fqdn", ""}, "-fqdn"},
		"progress without TLS":    {[]string{"-progress", "http://registry.example"}, "-progress"},
		"CA of nobody":            {[]string{"-progress-ca", "x"}, "-progress-ca"},
		"flag of euicc":           {[]string{"-eid", "1"}, "-eid"},
		"EID that is none":        {[]string{"euicc", "-eid", "1"}, "-eid"},
		"EID of another kind":     {[]string{"euicc", "-eid", "1000000000000001"}, "-eid"},
		"log format":              {[]string{"-log-format", "xml"}, "-log-format"},
		"log level":               {[]string{"-log-level", "loud"}, "-log-level"},
		"orders that are missing": {[]string{"-orders", filepath.Join(data, "none.json")}, "none.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := once(t, append(row.args, "-data", filepath.Join(t.TempDir(), "data"))...)
			require.Equal(t, 2, code, stderr)
			require.Contains(t, stderr, row.want)
		})
	}
	code, stdout, _ := once(t, "-h")
	require.Zero(t, code)
	require.Contains(t, stdout, "-es2-client-ca")
}

// TestEUICC: an identity is made for an EID of the EUM's range only, once.
func TestEUICC(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	file := filepath.Join(t.TempDir(), "card.json")
	code, _, stderr := once(t, "euicc", "-data", data, "-eid", "89049032123451234512345678901235", "-out", file)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "EUM")
	require.NoFileExists(t, file)

	const id = "89999901000000000000000000000067"
	code, stdout, stderr := once(t, "euicc", "-data", data, "-eid", id, "-out", file, "-json")
	require.Zero(t, code, stderr)
	var told map[string]string
	require.NoError(t, json.Unmarshal([]byte(stdout), &told))
	require.Equal(t, id, told["eid"])
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	code, _, stderr = once(t, "euicc", "-data", data, "-eid", id, "-out", file)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "there already")
}

// TestPortTaken: one of two programs says which flag is in its way.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "data"))
	code, _, stderr := once(t, "-data", filepath.Join(t.TempDir(), "data"), "-es2", "127.0.0.1:0", "-es9", strings.TrimPrefix(r.ES9, "https://"), "-esipa", "127.0.0.1:0")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "-es9")
}
