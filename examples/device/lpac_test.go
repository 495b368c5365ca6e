package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/examples/internal/cardfile"
	"github.com/iotregistry/sdk/internal/rsp/pki"
	"github.com/iotregistry/sdk/registry/eid"
)

const (
	isdR    = "a0000005591010ffffffff8900000100"
	connect = `{"type":"apdu","payload":{"func":"connect","param":null}}`
	open    = `{"type":"apdu","payload":{"func":"logic_channel_open","param":"` + isdR + `"}}`
	getEID  = `{"type":"apdu","payload":{"func":"transmit","param":"81e2910006bf3e035c015a"}}`
	getMore = `{"type":"apdu","payload":{"func":"transmit","param":"81c0000015"}}`
)

// ownCard is an eUICC of nobody's SM-DP+.
func ownCard(t testing.TB) string {
	p, err := pki.New(time.Now().Add(-time.Hour))
	require.NoError(t, err)
	id, err := p.EUICC(pki.EID)
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(id.Key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "card.json")
	c := &cardfile.Card{EID: eid.MustParse(pki.EID), Certificate: id.DER, EUM: p.EUM.DER, CIs: [][]byte{p.CI.DER}, Key: key}
	require.NoError(t, c.Create(file))
	return file
}

// Each request has one answer, in their order; what cannot be answered is -1 and
// said on standard error, and what follows is answered as ever.
func TestLpac(t *testing.T) {
	t.Parallel()
	const ok, bad = `{"type":"apdu","payload":{"ecode":0}}`, `{"type":"apdu","payload":{"ecode":-1}}`
	apdu := func(function, param string) string {
		return `{"type":"apdu","payload":{"func":"` + function + `","param":"` + param + `"}}`
	}
	card := ownCard(t)
	for name, row := range map[string]struct {
		in, out []string
		log     string
	}{
		"nothing":                {nil, nil, ""},
		"empty lines":            {[]string{"", "\r", connect}, []string{ok}, ""},
		"connect and disconnect": {[]string{connect, apdu("disconnect", "")}, []string{ok, ok}, ""},
		"channel": {[]string{connect, open, getEID, getMore, apdu("logic_channel_close", "01")},
			[]string{ok, `{"type":"apdu","payload":{"ecode":1}}`, `{"type":"apdu","payload":{"ecode":0,"data":"6115"}}`,
				`{"type":"apdu","payload":{"ecode":0,"data":"bf3e125a10` + pki.EID + `9000"}}`, ok}, ""},
		"channels are used up": {[]string{connect, open, open, open, open},
			[]string{ok, `{"type":"apdu","payload":{"ecode":1}}`, `{"type":"apdu","payload":{"ecode":2}}`, `{"type":"apdu","payload":{"ecode":3}}`, bad}, "open a channel"},
		"another application": {[]string{connect, apdu("logic_channel_open", "a000"), open},
			[]string{ok, bad, `{"type":"apdu","payload":{"ecode":1}}`}, "line 2: select"},
		"no application":           {[]string{connect, apdu("logic_channel_open", "")}, []string{ok, bad}, "select"},
		"channel that is not open": {[]string{apdu("logic_channel_close", "02")}, []string{bad}, "line 1"},
		"channel without number":   {[]string{apdu("logic_channel_close", "")}, []string{bad}, "channel's number"},
		"power is taken away": {[]string{connect, open, connect, getEID},
			[]string{ok, `{"type":"apdu","payload":{"ecode":1}}`, ok, `{"type":"apdu","payload":{"ecode":0,"data":"6881"}}`}, ""},
		"APDU that is none":       {[]string{apdu("transmit", "00")}, []string{`{"type":"apdu","payload":{"ecode":0,"data":"6700"}}`}, ""},
		"APDU of nothing":         {[]string{apdu("transmit", "")}, []string{`{"type":"apdu","payload":{"ecode":0,"data":"6700"}}`}, ""},
		"no hexadecimal":          {[]string{apdu("transmit", "0g"), connect}, []string{bad, ok}, "line 1: payload.param"},
		"half a byte":             {[]string{apdu("transmit", "0")}, []string{bad}, "payload.param"},
		"unknown function":        {[]string{apdu("explode", "")}, []string{bad}, "explode"},
		"no JSON":                 {[]string{"hello", connect}, []string{bad, ok}, "line 1: no message of lpac"},
		"no object":               {[]string{"7"}, []string{bad}, "no message of lpac"},
		"no payload":              {[]string{`{"type":"apdu"}`}, []string{bad}, "payload"},
		"payload of another sort": {[]string{`{"type":"apdu","payload":[]}`}, []string{bad}, "payload"},
		"parameter is a number":   {[]string{`{"type":"apdu","payload":{"func":"transmit","param":7}}`}, []string{bad}, "payload"},
		"another type":            {[]string{`{"type":"smoke","payload":{}}`}, []string{bad}, "smoke"},
		"http": {[]string{`{"type":"http","payload":{"url":"https://smdp.example/","tx":"","headers":[]}}`},
			[]string{bad}, "LPAC_HTTP=curl"},
		"result and progress": {[]string{`{"type":"progress","payload":{"code":0,"message":"x","data":null}}`, `{"type":"lpa","payload":{"code":0,"message":"success","data":null}}`, connect},
			[]string{ok}, `"success"`},
		"line too long":  {[]string{strings.Repeat("x", maxLine+1), connect}, []string{bad, ok}, "line 1: longer"},
		"no end of line": {[]string{connect + "\x00"}, []string{bad}, "no message"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := once(t, strings.Join(row.in, "\n"), "lpac", "-card", card)
			require.Zero(t, code, stderr)
			want := strings.Join(row.out, "\n")
			require.Equal(t, want, strings.TrimSuffix(stdout, "\n"))
			if row.log == "" {
				require.Empty(t, stderr)
			}
			require.Contains(t, stderr, row.log)
		})
	}
}

type broken struct{}

func (broken) Transmit(context.Context, []byte) ([]byte, error) { return nil, errors.New("no contact") }

// A card that does not answer is told as such.
func TestLpacCardIsBroken(t *testing.T) {
	t.Parallel()
	var out, log bytes.Buffer
	c := &lpacCard{transport: broken{}, reset: func() {}}
	require.NoError(t, c.serve(t.Context(), strings.NewReader(open+"\n"+getEID+"\n"), &out, &log))
	require.Equal(t, strings.Repeat(`{"type":"apdu","payload":{"ecode":-1}}`+"\n", 2), out.String())
	require.Equal(t, 2, strings.Count(log.String(), "no contact"))
}

// Whatever comes, each line has at most one answer, and each is one of lpac's.
func FuzzLpac(f *testing.F) {
	for _, s := range []string{connect, open + "\n" + getEID + "\n" + getMore, `{"type":"http"}`, `{"type":"apdu","payload":{"func":"logic_channel_close","param":"01"}}`} {
		f.Add([]byte(s))
	}
	d, err := (&flags{card: ownCard(f)}).open()
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, in []byte) {
		d.chip.Reset()
		var out, log bytes.Buffer
		c := &lpacCard{transport: d.chip, reset: d.chip.Reset}
		require.NoError(t, c.serve(t.Context(), bytes.NewReader(in), &out, &log))
		answers := strings.SplitAfter(out.String(), "\n")
		require.LessOrEqual(t, len(answers)-1, 1+bytes.Count(in, []byte("\n")))
		for _, line := range answers[:len(answers)-1] {
			var a lpacAnswer
			require.NoError(t, json.Unmarshal([]byte(line), &a))
			require.Equal(t, "apdu", a.Type)
		}
	})
}

// lpac runs the program that $LPAC names against the card and returns its result.
func lpac(t *testing.T, program, card string, args ...string) (code int, result string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "LPAC_APDU=stdio", "LPAC_HTTP=curl")
	answers, err := cmd.StdinPipe()
	require.NoError(t, err)
	requests, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var trouble, log bytes.Buffer
	cmd.Stderr = &trouble
	require.NoError(t, cmd.Start())
	require.Zero(t, run(t.Context(), []string{"lpac", "-card", card}, requests, answers, &log), "%s", &log)
	err = cmd.Wait()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		require.NoError(t, err)
	}
	require.NotContains(t, log.String(), "device: line", "%s", &trouble)
	_, result, found := strings.Cut(log.String(), `lpac: {"type":"lpa","payload":`)
	require.True(t, found, "%s%s", &log, &trouble)
	return cmd.ProcessState.ExitCode(), result
}

// freePort is one that was free a moment ago: the name of the SM-DP+ has it, so
// that it is wanted before the program is there.
func freePort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	return port
}

// TestRealLpac: the LPA that others have written downloads from our SM-DP+ onto
// our eUICC, and manages it.
func TestRealLpac(t *testing.T) {
	t.Parallel()
	program := os.Getenv("LPAC")
	if program == "" {
		t.Skip("LPAC names no lpac to test with")
	}
	port := freePort(t)
	name := "localhost:" + port
	o := startMNO(t, "-fqdn", name, "-es9", "127.0.0.1:"+port)
	card := o.card()
	do := func(args ...string) string {
		t.Helper()
		code, result := lpac(t, program, card, args...)
		require.Zero(t, code, result)
		require.Contains(t, result, `"code":0`)
		return result
	}
	first := o.order(eidOf(t, card), "FIRST", "", "")
	second := o.order(eidOf(t, card), "SECOND", "1234", "")
	require.Contains(t, do("chip", "info"), eidOf(t, card))
	require.Contains(t, do("profile", "download", "-s", name, "-m", "FIRST"), first)
	require.Contains(t, do("profile", "download", "-a", "LPA:1$"+name+"$SECOND$$1", "-c", "1234"), second)
	list := do("profile", "list")
	require.Contains(t, list, first)
	require.Contains(t, list, second)
	do("profile", "enable", first)
	require.Contains(t, do("profile", "list"), `"enabled"`)
	do("profile", "nickname", first, "meter")
	require.Contains(t, do("profile", "list"), `"meter"`)
	do("profile", "disable", first)
	do("profile", "delete", first)
	require.NotContains(t, do("profile", "list"), first)
	require.Contains(t, do("notification", "list"), `"delete"`)
	do("notification", "process", "-a", "-r")
	require.NotContains(t, do("notification", "list"), "seqNumber")

	code, result := lpac(t, program, card, "profile", "download", "-s", name, "-m", "NONE")
	require.NotZero(t, code)
	require.Contains(t, result, "es9p_authenticate_client")
}
