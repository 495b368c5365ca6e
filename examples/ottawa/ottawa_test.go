package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"encoding/json"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/profile"
)

var update = flag.Bool("update", false, "write the golden transcript anew")

// masks hides what differs from run to run: times, ratios, memory.
var masks = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?m)^.*: [0-9]+/[0-9]+\n`), ""}, // a slow step says how far it is
	{regexp.MustCompile(`[0-9.]+(ns|µs|ms|s)\b`), "<time>"},
	{regexp.MustCompile(`[0-9.]+ times the sum`), "<ratio> times the sum"},
	{regexp.MustCompile(`[0-9]+ MB`), "<size> MB"},
	{regexp.MustCompile(`[0-9.]+/s\b`), "<rate>/s"},
	{regexp.MustCompile(`(ES2\+|ESipa|ES9\+|progress) [0-9]+`), "$1 <n>"}, // a busy machine repeats calls
	{regexp.MustCompile(` +<`), " <"},
}

func mask(s string) string {
	for _, m := range masks {
		s = m.re.ReplaceAllString(s, m.with)
	}
	return s
}

// tellStory runs the program and returns its report and its transcript.
func tellStory(t *testing.T, args ...string) (map[string]any, string) {
	var out, errs bytes.Buffer
	code := run(t.Context(), append(args, "-json"), &out, &errs)
	require.Zero(t, code, errs.String())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var r map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &r))
	return r, errs.String()
}

func TestStory(t *testing.T) {
	r, transcript := tellStory(t, "-devices", "25")
	require.Equal(t, true, r["ok"])
	for _, key := range []string{"devices", "activated", "connected_first", "transferred", "connected_second"} {
		require.EqualValues(t, 25, r[key], key)
	}
	require.EqualValues(t, 3, r["old_profile_refused"])
	for proof, held := range r["proofs"].(map[string]any) {
		require.Equal(t, true, held, proof)
	}
	golden := filepath.Join("testdata", "transcript.txt")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(mask(transcript)), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), mask(transcript))
}

// The story is the same wherever meters have their keys.
func TestCards(t *testing.T) {
	for card, args := range map[string]func(t *testing.T) []string{
		"soft": func(*testing.T) []string { return nil },
		"tpm":  func(t *testing.T) []string { return []string{"-tpm", swtpm(t)} },
	} {
		t.Run(card, func(t *testing.T) {
			r, _ := tellStory(t, append([]string{"-devices", "5", "-card", card}, args(t)...)...)
			require.Equal(t, true, r["ok"])
		})
	}
}

// swtpm starts a TPM in software and returns its socket.
func swtpm(t *testing.T) string {
	program, err := exec.LookPath("swtpm")
	if err != nil {
		t.Skip("swtpm is not installed (apt-get install swtpm)")
	}
	dir, err := os.MkdirTemp("", "tpm") // a socket's path has to be short
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "tpm")
	cmd := exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir="+dir,
		"--server", "type=unixio,path="+socket, "--ctrl", "type=unixio,path="+socket+".ctrl", "--flags", "startup-clear")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	require.Eventually(t, func() bool {
		conn, err := net.Dial("unix", socket)
		return err == nil && conn.Close() == nil
	}, 20*time.Second, time.Millisecond, "swtpm does not start")
	return socket
}

func TestOneDevice(t *testing.T) {
	dir := t.TempDir()
	r, _ := tellStory(t, "-devices", "1", "-data", dir)
	require.Equal(t, true, r["ok"])
	_, err := os.Stat(filepath.Join(dir, "registry.db"))
	require.NoError(t, err, "-data keeps the database")
	var out, errs bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"-devices", "1", "-data", dir}, &out, &errs))
	require.Contains(t, errs.String(), "earlier story")
}

func TestList(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "meters.csv")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	r, transcript := tellStory(t, "-csv", file("\uFEFFdevice id,version,model,mno\r\n0007,2,\"Meter, small\",mno\r\n302220601105021,2,Meter,\r\n"))
	require.Equal(t, true, r["ok"])
	require.EqualValues(t, 2, r["connected_second"])
	require.Contains(t, transcript, "0007")

	// A card that is elsewhere: its profile is sealed and ordered all the same.
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	pub, err := hpke.NewDHKEMPublicKey(key.PublicKey())
	require.NoError(t, err)
	r, transcript = tellStory(t, "-csv", file("Device ID,Model,Version,Public Key\n7,M,1,"+profile.FormatPublicKey(pub)+"\n"))
	require.Equal(t, true, r["ok"])
	require.EqualValues(t, 1, r["transferred"])
	require.EqualValues(t, 0, r["connected_second"])
	require.Contains(t, transcript, "1 of them have cards elsewhere")

	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"-csv", file("Device ID,Model,Version\n1E+15,M,1\n1,M,1\n1,M,1\n")}, &out, &errs)
	require.Equal(t, 1, code)
	require.Contains(t, out.String(), "line 2, Device ID")
	require.Contains(t, out.String(), "line 4, Device ID")
	require.Contains(t, errs.String(), "2 wrong rows: nothing was imported")
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-h"}, 0, "Usage: ottawa"},
		{[]string{"-devices", "0"}, 2, "from 1 to"},
		{[]string{"-devices", "x"}, 2, "invalid value"},
		{[]string{"-what"}, 2, "not defined"},
		{[]string{"extra"}, 2, "unexpected argument"},
		{[]string{"-csv", filepath.Join(t.TempDir(), "none.csv")}, 1, "no such file"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, c.code, run(t.Context(), c.args, &out, &errs), c.args)
		require.Contains(t, errs.String(), c.says)
	}
}

// -hold keeps the world up for other programs: here a validator of our own over
// the sockets, at the good server and at the spoilt one.
func TestHold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	done := make(chan int)
	dir := t.TempDir()
	go func() {
		code := run(ctx, []string{"-devices", "1", "-hold", "-data", dir}, w, io.Discard)
		w.Close()
		done <- code
	}()
	var servers []string
	trace := regexp.MustCompile(`trace -server (\S+) -anchor (\S+) (\S+) CERT`)
	sc := bufio.NewScanner(r)
	var name string
	for len(servers) < 2 && sc.Scan() {
		if m := trace.FindStringSubmatch(sc.Text()); m != nil {
			servers, name = append(servers, m[1]), m[3]
		}
	}
	require.Len(t, servers, 2)
	go func() { _, _ = io.Copy(io.Discard, r) }()
	f, err := os.Open(filepath.Join(dir, "anchor.ds"))
	require.NoError(t, err)
	defer f.Close()
	anchors, err := dnssec.ParseAnchors(f)
	require.NoError(t, err)
	for i, want := range []dnssec.Status{dnssec.Secure, dnssec.Bogus} {
		res, err := (&dnssec.Resolver{Exchanger: &dnssec.Client{Addr: servers[i]}, Anchors: anchors}).Lookup(ctx, name, dns.TypeCERT)
		require.NoError(t, err)
		require.Equal(t, want, res.Status, res.Reason)
	}
	cancel()
	require.Zero(t, <-done)
}
