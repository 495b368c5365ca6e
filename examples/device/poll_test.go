package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/es2"
)

// orderFor orders for the card of a file; confirmation are members of the
// confirmation. It returns the ICCID.
func (o *operator) orderFor(card, confirmation string) string {
	o.t.Helper()
	answer := o.call(es2.PathDownloadOrder, fmt.Sprintf(`"eid":%q,"profileType":"iot"`, eidOf(o.t, card)))
	iccid, _ := answer["iccid"].(string)
	require.NotEmpty(o.t, iccid, "%v", answer)
	answer = o.call(es2.PathConfirmOrder, fmt.Sprintf(`"iccid":%q,%s"releaseFlag":true`, iccid, confirmation))
	require.Equal(o.t, o.FQDN, answer["smdpAddress"], "%v", answer)
	return iccid
}

// poll runs poll once, which must succeed.
func (o *operator) poll(card string, args ...string) string {
	o.t.Helper()
	args = append([]string{"poll", "-card", card, "-eim-address", o.eim()}, args...)
	code, stdout, stderr := once(o.t, "", args...)
	require.Zero(o.t, code, "%s%s", stdout, stderr)
	return stdout
}

func profilesOf(t *testing.T, card string) string {
	t.Helper()
	code, stdout, stderr := once(t, "", "profiles", "-card", card)
	require.Zero(t, code, stderr)
	return stdout
}

// TestPoll: what is ordered reaches the device and is enabled with nobody there,
// each poll in a run of its own.
func TestPoll(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		confirmation string
		indirect     bool
	}{
		"no matching ID":                {"", false},
		"empty matching ID":             {`"matchingId":"",`, false},
		"matching ID of the order":      {`"matchingId":"METER-1",`, false},
		"through the eIM":               {"", true},
		"empty matching ID, by the eIM": {`"matchingId":"",`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := startMNO(t)
			card := o.card()
			way := []string{"-smdp-address", o.address()}
			if row.indirect {
				way = []string{"-indirect", "-smdp-address", "127.0.0.1:1"}
			}
			require.Regexp(t, `^data \[.*\]: done\n$`, o.poll(card, way...), "the eIM gets to know it")
			require.Equal(t, "nothing to do\n", o.poll(card, way...))
			first := o.orderFor(card, row.confirmation)
			told := o.poll(card, way...)
			require.Contains(t, told, first+": installed")
			require.Contains(t, told, "enable "+first+": ok")
			require.Contains(t, told, "notifications delivered")
			require.Regexp(t, first+` +enabled`, profilesOf(t, card))
			require.Equal(t, "nothing to do\n", o.poll(card, way...))

			second := o.orderFor(card, strings.Replace(row.confirmation, "METER-1", "METER-2", 1))
			var result pollResult
			require.NoError(t, json.Unmarshal([]byte(o.poll(card, append(way, "-json")...)), &result))
			require.Equal(t, eidOf(t, card), result.EID)
			require.Len(t, result.Done, 2)
			require.Equal(t, doneResult{Kind: "download", Job: result.Done[0].Job, ICCID: second, Installed: true, Told: true}, result.Done[0])
			require.Equal(t, []operationResult{{"enable", second, "ok"}}, result.Done[1].Operations)
			require.Regexp(t, first+` +disabled`, profilesOf(t, card))
			require.Regexp(t, second+` +enabled`, profilesOf(t, card))
		})
	}
}

// TestPollSeveral: what waits together comes together, whatever order the SM-DP+
// gives it out in.
func TestPollSeveral(t *testing.T) {
	t.Parallel()
	o := startMNO(t)
	card := o.card()
	var iccids []string
	for range 3 {
		iccids = append(iccids, o.orderFor(card, `"matchingId":"",`))
	}
	o.poll(card, "-smdp-address", o.address())
	list := profilesOf(t, card)
	for _, iccid := range iccids {
		require.Contains(t, list, iccid)
	}
	require.Equal(t, 1, strings.Count(list, " enabled"))
	require.Equal(t, "nothing to do\n", o.poll(card))
}

// TestPollAndCodes: the eIM leaves alone what somebody does by hand.
func TestPollAndCodes(t *testing.T) {
	t.Parallel()
	o := startMNO(t)
	card := o.card()
	o.order(eidOf(t, card), "BY-HAND", "", "")
	o.order(eidOf(t, card), "SECRET", "1234", "")
	code, _, stderr := once(t, "", "download", "1$smdp.example$BY-HAND", "-card", card, "-smdp-address", o.address())
	require.Zero(t, code, stderr)
	require.Regexp(t, `^data \[.*\]: done\n$`, o.poll(card), "one is there, one needs a code that nobody enters")
	require.NotContains(t, profilesOf(t, card), "enabled")
}

// TestPollRefused: no device talks to who is not its eIM.
func TestPollRefused(t *testing.T) {
	t.Parallel()
	o, other, without := startMNO(t), startMNO(t), startMNO(t, "-esipa=")
	require.Empty(t, without.ESipa)
	for name, row := range map[string]struct {
		card, address, want string
		flags               []string
	}{
		"wrong name":                 {o.card("-eim-fqdn", "other.example"), o.eim(), "certificate is valid for", nil},
		"another CI":                 {other.card(), o.eim(), "unknown authority", nil},
		"believed, but not the CI's": {other.card(), o.eim(), "does not know this eUICC", []string{"-ca", filepath.Join(o.Certs, "ci.pem")}},
		"SM-DP+ and no eIM":          {o.card(), o.address(), "HTTP 400", nil},
		"nobody there":               {o.card(), "127.0.0.1:1", "refused", nil},
		"no eIM in the card":         {without.card(), o.eim(), "has no eIM", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := once(t, "", append([]string{"poll", "-card", row.card, "-eim-address", row.address}, row.flags...)...)
			require.Equal(t, 1, code, stdout)
			require.Contains(t, stderr, row.want)
			require.Contains(t, profilesOf(t, row.card), "no profiles")
		})
	}
}

// TestPollEvery: a device that stays on does what is ordered later, survives what
// goes wrong, and ends when it is told to.
func TestPollEvery(t *testing.T) {
	t.Parallel()
	o := startMNO(t)
	card := o.card()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, w := io.Pipe()
	var log bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"poll", "-every", "20ms", "-card", card, "-eim-address", o.eim(), "-smdp-address", o.address()}, strings.NewReader(""), w, &log)
		_ = w.Close()
	}()
	lines := bufio.NewScanner(out)
	for range 2 {
		iccid := o.orderFor(card, "")
		for !strings.Contains(lines.Text(), "enable "+iccid+": ok") {
			require.True(t, lines.Scan(), "it ended: %s", &log)
		}
	}
	stop()
	for lines.Scan() { // what was left to say
	}
	require.Zero(t, <-code, "%s", &log)
}

// TestPollEveryStale: a device whose card somebody else has changed meanwhile ends,
// since it cannot do anything any more.
func TestPollEveryStale(t *testing.T) {
	t.Parallel()
	o := startMNO(t)
	card := o.card()
	d, err := (&flags{card: card, smdp: o.address(), eim: o.eim(), every: time.Millisecond}).open()
	require.NoError(t, err)
	d.stdout, d.stderr = io.Discard, io.Discard
	o.orderFor(card, "")
	o.poll(card, "-smdp-address", o.address())
	o.orderFor(card, "")
	require.ErrorIs(t, d.poll(t.Context(), nil), errShared)
	require.Equal(t, 1, strings.Count(profilesOf(t, card), "enabled"))
}
