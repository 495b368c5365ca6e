package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/examples/internal/cardfile"
	"github.com/iotregistry/sdk/mno/es2"
)

// once runs the program to its end.
func once(t testing.TB, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &log)
	return code, out.String(), log.String()
}

// programs is where the other examples are built, once for all tests.
var programs string

var program = sync.OnceValues(func() (string, error) { return build("mno") })

func build(name string) (string, error) {
	path := filepath.Join(programs, name)
	out, err := exec.Command("go", "build", "-o", path, "../"+name).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
}

func TestMain(m *testing.M) {
	var err error
	if programs, err = os.MkdirTemp("", "mno-*"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(programs)
	os.Exit(code)
}

// operator is a running mno.
type operator struct {
	t     *testing.T
	dir   string
	flags []string
	FQDN  string `json:"fqdn"`
	ES2   string `json:"es2"`
	ES9   string `json:"es9"`
	ESipa string `json:"esipa"`
	Certs string `json:"certs"`
}

// startMNO runs an SM-DP+ of its own until the test ends.
func startMNO(t *testing.T, flags ...string) *operator {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	o := &operator{t: t, dir: t.TempDir(), flags: flags}
	args := append([]string{"-json", "-data", filepath.Join(o.dir, "data"), "-es2", "127.0.0.1:0", "-es9", "127.0.0.1:0", "-esipa", "127.0.0.1:0"}, flags...)
	line := serve(t, path, args...)
	require.NoError(t, json.Unmarshal(line, o))
	return o
}

// serve runs a program that serves until the test ends, and returns the line that
// it prints when it does.
func serve(t *testing.T, path string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(path, args...)
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		require.NoError(t, cmd.Wait(), "it ends when it is told to: %s", &log)
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(t, err, "it ended before it served: %s", &log)
	return line
}

func (o *operator) address() string { return strings.TrimPrefix(o.ES9, "https://") }

// eim is where the eIM is.
func (o *operator) eim() string { return strings.TrimPrefix(o.ESipa, "https://") }

// card makes an eUICC and returns its file.
func (o *operator) card(flags ...string) string {
	o.t.Helper()
	path, err := program()
	require.NoError(o.t, err)
	file := filepath.Join(o.t.TempDir(), "card.json")
	out, err := exec.Command(path, append([]string{"euicc", "-data", filepath.Join(o.dir, "data"), "-out", file}, slices.Concat(o.flags, flags)...)...).CombinedOutput()
	require.NoError(o.t, err, "%s", out)
	return file
}

func eidOf(t *testing.T, card string) string {
	t.Helper()
	c, err := cardfile.Read(card)
	require.NoError(t, err)
	return c.EID.String()
}

// call is one of ES2+, with the registry's client certificate.
func (o *operator) call(path, members string) map[string]any {
	o.t.Helper()
	own, err := tls.LoadX509KeyPair(filepath.Join(o.Certs, "es2-client.pem"), filepath.Join(o.Certs, "es2-client.key"))
	require.NoError(o.t, err)
	text, err := os.ReadFile(filepath.Join(o.Certs, "tls-ca.pem"))
	require.NoError(o.t, err)
	roots := x509.NewCertPool()
	require.True(o.t, roots.AppendCertsFromPEM(text))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}}}
	defer tr.CloseIdleConnections()
	body := `{"header":{"functionRequesterIdentifier":"registry","functionCallIdentifier":"1"},` + members + `}`
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost, o.ES2+path, strings.NewReader(body))
	require.NoError(o.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Admin-Protocol", es2.Version)
	res, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Do(req)
	require.NoError(o.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(o.t, err)
	require.Equal(o.t, http.StatusOK, res.StatusCode, "%s", answer)
	var v map[string]any
	require.NoError(o.t, json.Unmarshal(answer, &v))
	return v
}

// order orders and confirms; it returns the ICCID. more are members of the order.
func (o *operator) order(eid, matchingID, code, more string) string {
	o.t.Helper()
	answer := o.call(es2.PathDownloadOrder, fmt.Sprintf(`"eid":%q,"profileType":"iot"%s`, eid, more))
	iccid, _ := answer["iccid"].(string)
	require.NotEmpty(o.t, iccid, "%v", answer)
	answer = o.call(es2.PathConfirmOrder, fmt.Sprintf(`"iccid":%q,"matchingId":%q,"confirmationCode":%q,"releaseFlag":true`, iccid, matchingID, code))
	require.Equal(o.t, matchingID, answer["matchingId"], "%v", answer)
	return iccid
}

func sealedMembers(number uint64, sealed []byte) string {
	return fmt.Sprintf(`,"iotProfileId":%d,"iotSealedProfile":%q`, number, base64.StdEncoding.EncodeToString(sealed))
}

// TestStory: order, download, use, remove, each in a run of its own, so that all
// that is known of the card is what its files say.
func TestStory(t *testing.T) {
	t.Parallel()
	o := startMNO(t)
	card := o.card()
	do := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := once(t, "", append(args, "-card", card, "-smdp-address", o.address())...)
		require.Zero(t, code, stderr)
		return stdout
	}
	require.Contains(t, do("info"), eidOf(t, card))
	require.Contains(t, do("profiles"), "no profiles")
	require.NoFileExists(t, card+".state", "nothing has changed")
	first := o.order(eidOf(t, card), "FIRST", "", "")
	second := o.order(eidOf(t, card), "SECOND", "1234", "")

	require.Contains(t, do("download", "LPA:1$smdp.example$FIRST"), first+" installed")
	require.Contains(t, do("download", "1$smdp.example$SECOND$$1", "-code", "1234"), second+" installed")
	info, err := os.Stat(card + ".state")
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Contains(t, do("enable", first+"F"), "enabled")
	require.Regexp(t, first+` +enabled`, do("profiles"))
	require.Regexp(t, second+` +disabled`, do("profiles"))
	require.Contains(t, do("profiles"), "left alone")

	code, _, stderr := once(t, "", "delete", first, "-card", card)
	require.Equal(t, 1, code, "an enabled profile stays")
	require.Contains(t, stderr, first)
	require.Contains(t, do("disable"), first+" disabled")
	require.Contains(t, do("delete", first), first+" deleted")
	require.NotContains(t, do("profiles"), first)
	require.Equal(t, "3 notifications sent\n", do("notifications"))
	require.Equal(t, "0 notifications sent\n", do("notifications"))

	var list profilesResult
	require.NoError(t, json.Unmarshal([]byte(do("profiles", "-json")), &list))
	require.Equal(t, profilesResult{Profiles: []profileResult{{ICCID: second, Provider: "smdp.example", Name: "iot"}}}, list)
	require.Contains(t, do("delete", second), "deleted")
}

// TestRefused: what does not work says why, and leaves nothing behind.
func TestRefused(t *testing.T) {
	t.Parallel()
	o, other := startMNO(t), startMNO(t)
	card, foreign := o.card(), other.card()
	o.order(eidOf(t, card), "GOOD", "1234", "")
	for name, row := range map[string]struct {
		card string
		args []string
		want string
	}{
		"wrong matching ID":           {card, []string{"1$smdp.example$BAD"}, "8.2.6"},
		"wrong confirmation code":     {card, []string{"1$smdp.example$GOOD", "-code", "9999"}, "8.2.7"},
		"no confirmation code":        {card, []string{"1$smdp.example$GOOD"}, "-code"},
		"another SM-DP+":              {card, []string{"1$localhost$GOOD"}, "8.8.1"},
		"name without certificate":    {card, []string{"1$other.example$GOOD"}, "certificate is valid for"},
		"CI that is not the card's":   {foreign, []string{"1$smdp.example$GOOD"}, "unknown authority"},
		"CI that is the user's alone": {foreign, []string{"1$smdp.example$GOOD", "-ca", filepath.Join(o.Certs, "ci.pem")}, "8.8.2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := copyCard(t, row.card)
			code, _, stderr := once(t, "", append([]string{"download", "-card", own, "-smdp-address", o.address()}, row.args...)...)
			require.Equal(t, 1, code)
			require.Contains(t, stderr, row.want)
			require.NotContains(t, stderr, "9999")
			_, stdout, _ := once(t, "", "profiles", "-card", own)
			require.Contains(t, stdout, "no profiles")
		})
	}
}

// TestTwoAtOnce: what one process has done to a card, another that was there before
// does not undo.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	o := startMNO(t)
	card := o.card()
	first := o.order(eidOf(t, card), "FIRST", "", "")
	second := o.order(eidOf(t, card), "SECOND", "", "")
	stale, err := (&flags{card: card, smdp: o.address()}).open()
	require.NoError(t, err)
	stale.stdout, stale.stderr = io.Discard, io.Discard
	download := []string{"-card", card, "-smdp-address", o.address(), "download"}
	code, _, stderr := once(t, "", append(download, "1$smdp.example$FIRST")...)
	require.Zero(t, code, stderr)
	for range 2 {
		err = stale.download(t.Context(), []string{"1$smdp.example$SECOND"})
		require.ErrorIs(t, err, errShared)
	}
	code, _, stderr = once(t, "", append(download, "1$smdp.example$SECOND")...)
	require.Zero(t, code, stderr)
	require.Contains(t, profilesOf(t, card), first)
	require.Contains(t, profilesOf(t, card), second)
}

// copyCard is the same eUICC in another device: tests change its state.
func copyCard(t *testing.T, card string) string {
	t.Helper()
	text, err := os.ReadFile(card)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "card.json")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	return file
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"nothing":               {nil, "Usage: device COMMAND"},
		"unknown command":       {[]string{"fly"}, "fly"},
		"unknown flag":          {[]string{"info", "-fly"}, "-fly"},
		"download of two":       {[]string{"download", "a", "b"}, "other arguments"},
		"two at once":           {[]string{"enable", "1", "2"}, "other arguments"},
		"registry without root": {[]string{"info", "-registry", "iotregistry.example"}, "belong together"},
		"root without registry": {[]string{"info", "-registry-ca", "x.pem"}, "belong together"},
		"final dot":             {[]string{"info", "-registry", "iotregistry.example.", "-registry-ca", "x"}, "final dot"},
		"eIM without port":      {[]string{"poll", "-eim-address", "localhost"}, "-eim-address"},
		"poll of something":     {[]string{"poll", "1$smdp.example$A"}, "other arguments"},
		"time before now":       {[]string{"poll", "-every", "-1s"}, "-every"},
		"flag of poll":          {[]string{"download", "-indirect"}, "flags of poll"},
		"address without port":  {[]string{"info", "-smdp-address", "localhost"}, "-smdp-address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := once(t, "", row.args...)
			require.Equal(t, 2, code)
			require.Contains(t, stderr, row.want)
		})
	}
	code, stdout, _ := once(t, "", "-h")
	require.Zero(t, code)
	require.Contains(t, stdout, "-smdp-address")
}

// TestFiles: files that cannot be used are named, and not touched.
func TestFiles(t *testing.T) {
	t.Parallel()
	o := startMNO(t)
	made := o.card()
	for name, row := range map[string]struct {
		file string // to be written over, "" for the card
		text string
		mode os.FileMode
		args []string
		code int
		want string
	}{
		"card is no JSON":       {"", "x", 0o600, nil, 1, "no card"},
		"card is empty":         {"", "{}", 0o600, nil, 1, "mno euicc"},
		"card has other things": {"", `{"eyd":1}`, 0o600, nil, 1, "no card"},
		"state is damaged":      {".state", "euicc-state/1 00\n{}", 0o600, nil, 1, ".state"},
		"state is of others":    {".state", "hello", 0o600, nil, 1, ".state"},
		"state is public":       {".state", "hello", 0o644, nil, 1, "chmod 600"},
		"CA is missing":         {".other", "", 0o600, []string{"-ca", "nowhere.pem"}, 1, "-ca"},
		"ICCID is none":         {".other", "", 0o600, []string{"enable", "123"}, 2, "ICCID"},
		"ICCID is not there":    {".other", "", 0o600, []string{"enable", "8944476500001224158"}, 1, "no such profile"},
		"nothing is enabled":    {".other", "", 0o600, []string{"disable"}, 1, "no profile is enabled"},
		"no activation code":    {".other", "", 0o600, []string{"download", "hello"}, 2, "no activation code"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			card := copyCard(t, made)
			require.NoError(t, os.WriteFile(card+row.file, []byte(row.text), row.mode))
			args := append([]string{"-card", card}, row.args...)
			if len(row.args) == 0 || strings.HasPrefix(row.args[0], "-") {
				args = append(args, "info")
			}
			code, _, stderr := once(t, "", args...)
			require.Equal(t, row.code, code, stderr)
			require.Contains(t, stderr, row.want)
			left, err := os.ReadFile(card + row.file)
			require.NoError(t, err)
			require.Equal(t, row.text, string(left))
		})
	}
	code, _, stderr := once(t, "", "info", "-card", filepath.Join(t.TempDir(), "none.json"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "none.json")
	public := copyCard(t, made)
	require.NoError(t, os.Chmod(public, 0o644))
	code, _, stderr = once(t, "", "info", "-card", public)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "chmod 600")
}
