package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// joint is a registry that orders from an SM-DP+, which tells it what becomes of
// its orders: three programs as their users start them.
type joint struct {
	t       *testing.T
	dir     string
	iotreg  string
	api     string
	smdp    *operator
	account string // whose token is used
}

func (j *joint) path(name string) string { return filepath.Join(j.dir, name) }

func (j *joint) write(name, text string) string {
	require.NoError(j.t, os.WriteFile(j.path(name), []byte(text), 0o600))
	return j.path(name)
}

// do runs iotreg as the account.
func (j *joint) do(args ...string) string {
	j.t.Helper()
	cmd := exec.Command(j.iotreg, args...)
	cmd.Env = append(os.Environ(), "IOTREG_REGISTRY="+j.api, "IOTREG_CA="+j.path("reg/ca.pem"), "IOTREG_TOKEN_FILE="+j.account)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	require.NoError(j.t, err, "iotreg %v: %s%s", args, out, &log)
	return string(out)
}

func newJoint(t *testing.T) *joint {
	j := &joint{t: t, dir: t.TempDir()}
	registry, err := build("registry")
	require.NoError(t, err)
	j.iotreg, err = build("iotreg")
	require.NoError(t, err)

	// Each wants the other's address before it starts, so that one is a detour.
	way, target := detour(t)
	certs := j.path("telco")
	mno, err := program()
	require.NoError(t, err)
	out, err := exec.Command(mno, "euicc", "-certs", certs, "-out", j.path("card.json")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	config := fmt.Sprintf(`{"operators":[{"account":"telco","es2":"https://%s","ca":%q,"cert":%q,"key":%q}]}`, way,
		certs+"/ci.pem", certs+"/es2-client.pem", certs+"/es2-client.key")
	line := serve(t, registry, "-json", "-config", j.write("config.json", config), "-data", j.path("reg"),
		"-listen", "127.0.0.1:0", "-dns", "127.0.0.1:0", "-metrics", "127.0.0.1:0")
	var at struct{ API string }
	require.NoError(t, json.Unmarshal(line, &at))
	j.api, j.account = at.API, j.path("reg/operator.token")
	j.smdp = startMNO(t, "-certs", certs, "-progress", j.api, "-progress-ca", j.path("reg/ca.pem"))
	target <- strings.TrimPrefix(j.smdp.ES2, "https://")
	return j
}

// detour listens at an address that leads to the one that the channel is given.
func detour(t *testing.T) (address string, target chan string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	target = make(chan string, 1)
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(func() {
		ln.Close()
		close(target)
	})
	running.Go(func() {
		for to := ""; ; {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			if to == "" {
				to = <-target
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				running.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
				})
			}
		}
	})
	return ln.Addr().String(), target
}

// claim files the card's public key as its maker would.
func (j *joint) claim(eid, publicKey string) {
	maker := newKey(j.t)
	public, err := x509.MarshalPKIXPublicKey(maker.Public())
	require.NoError(j.t, err)
	pemFile := j.write("maker.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	j.do("account", "put", "meterworks", "-role", "maker", "-trust", pemFile)
	claims := fmt.Sprintf("Device ID,Public Key,Model\n%s,%s,Meter\n", eid, publicKey)
	sum := sha256.Sum256([]byte(claims))
	signature, err := maker.Sign(rand.Reader, sum[:], crypto.SHA256)
	require.NoError(j.t, err)
	j.do("claims", j.write("claims.csv", claims), j.write("claims.csv.sig", string(signature)))
}

// TestRegistry: from the registry's activation to the profile that the device
// opens, and back to the registry, which hears that it is installed.
func TestRegistry(t *testing.T) {
	t.Parallel()
	j := newJoint(t)
	card := j.path("card.json")
	info := infoOf(t, card)
	j.do("account", "put", "ottawa", "-role", "owner", "-name", "Ottawa")
	j.do("account", "put", "parkoserv", "-role", "asp", "-host", "parkoserv.ca")
	j.do("token", "trust", "telco", j.smdp.Certs+"/progress-client.pem")
	j.do("token", "issue", "parkoserv", "-out", j.path("parkoserv.token"))
	j.claim(info.EID, info.PublicKey)
	j.account = j.path("parkoserv.token")
	list := j.write("list.csv", "Device ID,Model,Version\n"+info.EID+",Meter,1.0\n")
	j.do("import", list, "-owner", "ottawa", "-mno", "telco")
	j.do("activate", list)
	require.NotContains(t, j.do("profiles", info.EID), "installed")

	trust := []string{"-card", card, "-smdp-address", j.smdp.address(), "-registry", zone, "-registry-ca", j.path("reg/authority.pem")}
	code, _, stderr := once(t, "", append(trust, "download")...) // the default SM-DP+ knows what waits for the eUICC
	require.Zero(t, code, stderr)
	require.Empty(t, stderr)
	code, text, stderr := once(t, "", append(trust, "profiles")...)
	require.Zero(t, code, stderr)
	require.Contains(t, text, "IoT profile 1 of "+zone+": parkoserv.ca:443")
	require.Contains(t, j.do("profiles", info.EID), "installed")
}
