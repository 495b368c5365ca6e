package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/transfer"
)

// TestUsageText: the list of commands.
func TestUsageText(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	require.Zero(t, run(t.Context(), []string{"-h"}, &stdout, &stderr))
	golden(t, "usage.txt", stdout.String())
}

// TestEveryCommandHelps: with an example, and the flags of whom it talks to.
func TestEveryCommandHelps(t *testing.T) {
	t.Parallel()
	peers := map[peer]string{dnsPeer: "-server", apiPeer: "-token-file", nobody: "-json"}
	for _, s := range sections() {
		for _, c := range s.commands {
			var stdout, stderr bytes.Buffer
			require.Zero(t, run(t.Context(), append(strings.Fields(c.name), "-h"), &stdout, &stderr), c.name)
			require.Empty(t, stderr.String(), c.name)
			require.Contains(t, stdout.String(), "  iotreg "+c.name, "an example")
			require.Contains(t, stdout.String(), peers[c.peer], c.name)
		}
	}
}

// TestWrongUsage: told before anything is asked of the registry.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	o := newOffice(t, transfer.Policy{})
	o.file("meters.csv", []byte("Device ID,Model,Version\n1000000000000001,Meter,1\n"))
	o.file("bad.csv", []byte("Device ID,Model,Version\nfrob,Meter,1\n1000000000000001,Meter,1\n1000000000000001,Meter,1\n"))
	o.file("empty.csv", []byte("Device ID,Model,Version\n"))
	o.file("junk", []byte("junk"))
	o.file("secret.pem", []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	for _, c := range []struct {
		line  string
		code  int
		tells string
	}{
		{"account", 2, `"account" needs one more word`}, {"account frob", 2, `no command "account frob"`}, {"transfer frob", 2, "no such file"},
		{"account put x", 2, "-role"}, {"account put x -role asp -port 70000", 2, "-port"}, {"account put x -role maker -trust @none", 2, "no such file"},
		{"token issue x", 2, "either -out FILE or -show"}, {"token issue x -show -out f", 2, "either"}, {"token trust x @junk", 2, "neither PEM nor a DER"},
		{"device frob", 2, "no device ID"}, {"devices frob", 2, "want no arguments"}, {"timeline 12x", 2, "no device ID"},
		{"import @meters.csv", 2, "-owner"}, {"import @none.csv -owner o", 2, "no such file"}, {"import @empty.csv -owner o", 2, "names no devices"},
		{"import @bad.csv -owner o", 1, "2 rows wrong, so nothing was asked for:\nline 2"}, {"import @junk -owner o", 1, "first line"},
		{"activate frob", 2, "neither a device ID nor a file"}, {"activate @empty.csv", 2, "names no devices"}, {"activate @bad.csv", 1, "line 4"},
		{"switch 1000000000000001", 2, "-mno"}, {"status 1000000000000001", 2, "-add STATUS"}, {"confirm 1000000000000001:x", 2, "no profile number"},
		{"codes 1000000000000001", 2, "either -out FILE or -show"}, {"codes 1000000000000001 -out @meters.csv", 2, "file exists"},
		{"transfer @meters.csv", 1, "Authorization Code"}, {"claims @none", 2, "no such file"}, {"claims @junk @none", 2, "no such file"},
		{"messages -limit 0", 2, "-limit"}, {"ack", 2, "want MESSAGE"}, {"job show", 2, "want JOB"}, {"audit export -json", 2, "-out FILE"},
		{"audit verify @junk", 2, "-zone"}, {"audit verify -zone z @none", 2, "no such file"}, {"audit verify -zone z -key @secret.pem @junk", 2, "want PUBLIC KEY"},
		{"audit verify -zone z -key @junk @junk", 2, "no PUBLIC KEY"}, {"audit verify -zone z -head @junk @junk", 2, "junk"},
		{"devices -timeout 0s", 2, "-timeout"},
	} {
		code, stdout, stderr := o.iotreg("registry", c.line)
		require.Equal(t, c.code, code, "%s: %s%s", c.line, stdout, stderr)
		require.Empty(t, stdout, c.line)
		require.Contains(t, stderr, c.tells, c.line)
	}
}

// TestWhoAndWhere: flags come before the environment, and that before the file.
func TestWhoAndWhere(t *testing.T) {
	t.Parallel()
	o := newOffice(t, transfer.Policy{})
	require.NoError(t, o.reg.PutAccount(t.Context(), rootActor, registry.Account{ID: "ottawa", Role: registry.RoleOwner}))
	o.token("ottawa")
	o.file("config.json", []byte(`{"registry": "`+o.url+`", "ca": "ca.pem", "tokenFile": "ottawa.token"}`))
	o.file("wrong.json", []byte(`{"registri": "x"}`))
	o.file("empty.token", nil)
	o.file("open.token", []byte("iotreg_x"))
	require.NoError(t, os.Chmod(o.path("open.token"), 0o644))
	o.file("two.token", []byte("iotreg_a iotreg_b"))
	o.file("false.token", []byte("iotreg_hunter2"))
	for name, c := range map[string]struct {
		env   map[string]string
		args  string
		code  int
		tells string
	}{
		"nowhere":          {nil, "", 2, "-registry https://"},
		"nobody":           {map[string]string{"IOTREG_REGISTRY": o.url}, "", 2, "-token-file FILE"},
		"file named":       {nil, "-config @config.json", 0, "ottawa"},
		"file by env":      {map[string]string{"IOTREG_CONFIG": o.path("config.json")}, "", 0, "ottawa"},
		"flag before file": {nil, "-config @config.json -token-file @registry.token", 0, "registry"},
		"env before file":  {map[string]string{"IOTREG_TOKEN_FILE": o.path("registry.token")}, "-config @config.json", 0, "registry"},
		"flag before env":  {map[string]string{"IOTREG_TOKEN_FILE": o.path("registry.token")}, "-config @config.json -token-file @ottawa.token", 0, "ottawa"},
		"file missing":     {nil, "-config @none.json", 2, "no such file"},
		"file wrong":       {nil, "-config @wrong.json", 2, "registri"},
		"token in clear":   {nil, "-config @config.json -registry http://registry.example", 2, "in clear"},
		"no URL":           {nil, "-config @config.json -registry registry.example", 2, "-registry"},
		"no CA":            {nil, "-config @config.json -ca @config.json", 2, "no CERTIFICATE"},
		"no certificate":   {nil, "-config @config.json -cert @config.json", 2, "PEM"},
		"token missing":    {nil, "-config @config.json -token-file @none", 2, "no such file"},
		"token empty":      {nil, "-config @config.json -token-file @empty.token", 2, "one token"},
		"token for all":    {nil, "-config @config.json -token-file @open.token", 2, "chmod 600"},
		"two tokens":       {nil, "-config @config.json -token-file @two.token", 2, "one token"},
		"token refused":    {nil, "-config @config.json -token-file @false.token", 1, "credential refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			p := program{stdout: &stdout, stderr: &stderr, now: now, getenv: func(n string) string { return c.env[n] },
				configDir: func() (string, error) { return "", errors.New("no home") }}
			code := p.run(t.Context(), strings.Fields(strings.ReplaceAll("account show "+c.args, "@", o.dir+"/")))
			require.Equal(t, c.code, code, stderr.String())
			require.Contains(t, stdout.String()+stderr.String(), c.tells)
			require.NotContains(t, stderr.String(), "hunter2")
			require.NotContains(t, stderr.String(), "iotreg_a")
		})
	}
}

// TestCertificate: a client certificate takes the place of the token.
func TestCertificate(t *testing.T) {
	t.Parallel()
	o := newOffice(t, transfer.Policy{})
	require.NoError(t, o.reg.PutAccount(t.Context(), rootActor, registry.Account{ID: "telco", Role: registry.RoleMNO}))
	own := (&lab{t: t, World: newClock(t)}).mint("telco")
	o.file("telco.pem", append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Leaf.Raw}), pemKey(t, own.PrivateKey)...))
	o.do("registry", "token trust telco @telco.pem -label SM-DP+")
	require.Contains(t, o.do("", "account show -cert @telco.pem"), "telco")
	require.Contains(t, o.do("registry", "token list telco"), "SM-DP+")
}

// TestInterrupted: whoever stops waiting learns where the job is.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"id":"k-1","op":"activate","state":"running","total":1}`))
			return
		}
		cancel()
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/token", []byte("iotreg_x"), 0o600))
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"activate", "1000000000000001", "-registry", srv.URL, "-token-file", dir + "/token"}, &stdout, &stderr)
	require.Equal(t, 1, code)
	require.Contains(t, stderr.String(), "the registry goes on with job k-1: iotreg job watch k-1")
}

// TestObjects: the fields are a promise.
func TestObjects(t *testing.T) {
	t.Parallel()
	o := newOffice(t, transfer.Policy{})
	o.parties()
	for _, c := range []struct {
		account, line string
		code          int
		fields        []string
	}{
		{"registry", "account list", 0, []string{"command", "items", "ok"}},
		{"ottawa", "account show", 0, []string{"command", "item", "ok"}},
		{"parkoserv", "claims @claims.csv @claims.csv.sig", 0, []string{"command", "failed", "ok", "results"}},
		{"parkoserv", "import @meters.csv -owner ottawa -mno telco", 0, []string{"command", "failed", "job", "ok", "results"}},
		{"parkoserv", "import @meters.csv -owner ottawa -mno telco", 1, []string{"command", "failed", "job", "ok", "results"}},
		{"parkoserv", "activate @meters.csv -no-wait", 0, []string{"command", "item", "ok"}},
		{"parkoserv", "device 1000000000000001", 0, []string{"command", "item", "ok"}},
		{"ottawa", "codes 1000000000000001 -out @one.csv", 0, []string{"command", "failed", "file", "ok", "results"}},
		{"ottawa", "codes 1000000000000001 -show", 0, []string{"codes", "command", "failed", "ok", "results"}},
		{"registry", "token issue ottawa -out @new.token", 0, []string{"command", "item", "ok"}},
		{"auditor", "audit head", 0, []string{"command", "item", "ok"}},
		{"auditor", "audit export -out @trail", 0, []string{"command", "ok"}},
		{"", "audit verify -zone iotregistry.ca -key @audit-key.pem @trail", 0, []string{"command", "entries", "file", "head", "heads", "last", "ok", "signed_through"}},
		{"", "audit verify -zone iotregistry.com -key @audit-key.pem @trail", 1, []string{"command", "entries", "entry", "file", "heads", "last", "line", "ok", "reason", "signed_through"}},
	} {
		code, object := o.object(c.account, c.line)
		require.Equal(t, c.code, code, c.line)
		require.Equal(t, c.fields, fields(object), c.line)
	}
	_, object := o.object("ottawa", "codes 1000000000000001 -show")
	code := object["codes"].([]any)[0].(map[string]any)["code"].(string)
	_, err := registry.ParseAuthCode(code)
	require.NoError(t, err, "shown where it was asked for")
	text := o.do("registry", "token issue ottawa -show -json")
	require.Contains(t, text, `"token":"iotreg_`)
}
