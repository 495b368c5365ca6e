package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

// ipa is the assistant of a device that does so many packages in each poll.
func (r *running) ipa(chip *euicc.Chip, packages int) *esipa.IPA {
	return &esipa.IPA{LPA: r.lpa(chip), EIM: r.esipa(), Packages: packages}
}

func (r *running) esipa() *esipa.Client {
	return &esipa.Client{BaseURL: r.ESipa, HTTP: r.client("", ""), Retry: es9.Retry{Attempts: 1}}
}

func (r *running) poll(ipa *esipa.IPA) string {
	r.t.Helper()
	report, err := ipa.Poll(r.t.Context())
	require.NoError(r.t, err, "%v", report)
	return report.String()
}

// enabled are the ICCIDs of profiles in use.
func enabled(chip *euicc.Chip) (list []string) {
	for _, p := range chip.Profiles() {
		if p.Enabled {
			list = append(list, p.ICCID)
		}
	}
	return list
}

// TestRestarts: whenever the program is started anew, what was ordered comes to
// the device and is enabled once, and counters go on.
func TestRestarts(t *testing.T) {
	t.Parallel()
	for _, indirect := range []bool{false, true} {
		t.Run(fmt.Sprintf("indirect %t", indirect), func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			r := start(t, data)
			card, chip := r.euicc()
			require.Equal(t, "eim.example", card.EIM)
			step := func() string { // one package, then another process
				t.Helper()
				ipa := r.ipa(chip, 1)
				if indirect {
					ipa.Indirect, ipa.LPA.Dial = r.esipa(), nil
				}
				told := r.poll(ipa)
				require.Zero(t, r.stop(), "%s", r.log)
				r = start(t, data)
				return told
			}
			for i := range 3 {
				iccid := r.order(card.EID.String(), fmt.Sprint("METER-", i), "")
				require.Zero(t, r.stop(), "%s", r.log)
				r = start(t, data)
				if i == 0 {
					require.Contains(t, step(), "data")
				}
				require.Contains(t, step(), iccid+": installed")
				require.Contains(t, step(), "enable "+iccid+": ok")
				require.Equal(t, []string{iccid}, enabled(chip))
				require.Empty(t, step())
			}
		})
	}
}

// TestPostgreSQL: orders and the eIM share a database on a server.
func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	dsn := os.Getenv("REGISTRY_POSTGRES")
	if dsn == "" {
		t.Skip("REGISTRY_POSTGRES names no PostgreSQL server")
	}
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	schema := "mno_" + strings.ToLower(rand.Text())
	_, err = db.ExecContext(t.Context(), "CREATE SCHEMA "+schema)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := db.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE")
		require.NoError(t, errors.Join(err, db.Close()))
	})
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	data := filepath.Join(t.TempDir(), "data")
	r := start(t, data, "-store", u.String())
	card, chip := r.euicc()
	iccid := r.order(card.EID.String(), "METER", "")
	require.Contains(t, r.poll(r.ipa(chip, 2)), "installed")
	require.Zero(t, r.stop(), "%s", r.log)
	require.NoFileExists(t, filepath.Join(data, "orders.db"))
	r = start(t, data, "-store", u.String())
	require.Contains(t, r.poll(r.ipa(chip, 0)), "enable "+iccid+": ok")
	require.Zero(t, r.stop(), "%s", r.log)
}

// TestJobNews: the log says what came of jobs, and holds no activation codes.
func TestJobNews(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "data"))
	card, chip := r.euicc()
	iccid := r.order(card.EID.String(), "VERY-SECRET", "")
	r.poll(r.ipa(chip, 0))
	require.Equal(t, []string{iccid}, enabled(chip))
	log := r.log.String()
	require.Equal(t, 2, strings.Count(log, "news of a job"), log)
	require.Contains(t, log, `"state":"succeeded","proven":true,"download":"`+iccid+`"`)
	require.Contains(t, log, `"state":"succeeded","proven":true,"enable":"`+iccid+`"`)
	require.NotContains(t, log, "VERY-SECRET")
	require.NotContains(t, log, "WARN")
}

// TestOtherWays: the eIM leaves alone what needs somebody, and what somebody has
// done.
func TestOtherWays(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "data"))
	card, chip := r.euicc()
	r.order(card.EID.String(), "CODE", "1234")
	r.order(card.EID.String(), "BY-HAND", "")
	gone := r.order(card.EID.String(), "GONE", "")
	for range 2 {
		status, answer, err := r.post(r.client(r.Certs, "es2-client"), es2.PathCancelOrder,
			fmt.Sprintf(`"eid":%q,"iccid":%q,"matchingId":"GONE","finalProfileStatusIndicator":"Unavailable"`, card.EID, gone))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, fmt.Sprint(answer), "Executed-Success")
	}
	require.Contains(t, r.log.String(), "was cancelled")
	require.Contains(t, r.log.String(), "confirmation code")
	res, err := r.lpa(chip).Download(t.Context(), es9.ActivationCode{Address: r.FQDN, MatchingID: "BY-HAND"}, nil)
	require.NoError(t, err)
	require.NoError(t, res.Unsent)
	require.Contains(t, r.log.String(), "downloaded by its activation code")
	require.NotContains(t, r.poll(r.ipa(chip, 0)), "download")
	require.Empty(t, enabled(chip))
}

// TestRelay: the eIM leads to its own SM-DP+ and nowhere else.
func TestRelay(t *testing.T) {
	t.Parallel()
	reached := false
	r := start(t, filepath.Join(t.TempDir(), "data"), "-fqdn", "localhost")
	trap, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })}
	go func() { _ = web.Serve(trap) }()
	t.Cleanup(func() { _ = web.Close() })
	card, chip := r.euicc()
	for _, address := range []string{trap.Addr().String(), "smdp.example", "localhost:1"} {
		lpa := r.lpa(chip)
		lpa.Dial = func(string) (es9.Backend, error) { return r.esipa(), nil }
		_, err := lpa.Download(t.Context(), es9.ActivationCode{Address: address, MatchingID: "A"}, nil)
		require.Error(t, err, address)
	}
	require.False(t, reached)
	iccid := r.order(card.EID.String(), "A", "")
	ipa := r.ipa(chip, 0)
	ipa.Indirect, ipa.LPA.Dial = r.esipa(), nil
	r.poll(ipa)
	require.Equal(t, []string{iccid}, enabled(chip))
}

// TestNames: devices believe the eIM by its name, and the log says where they
// cannot.
func TestNames(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "data"))
	require.Equal(t, "eim.example", r.EIM)
	require.NotContains(t, r.log.String(), "server.pem")
	other := start(t, filepath.Join(t.TempDir(), "data"), "-certs", r.Certs, "-eim-fqdn", "other.example:8446")
	require.Equal(t, "other.example:8446", other.EIM)
	require.Contains(t, other.log.String(), "server.pem")
	for _, address := range []string{"127.0.0.1:8446", "localhost:8446", "eim:8446"} {
		own := start(t, filepath.Join(t.TempDir(), "data"), "-eim-fqdn", address)
		require.NotContains(t, own.log.String(), "server.pem", address)
	}
}

// TestWithoutEIM: an operator may have none, and have one later.
func TestWithoutEIM(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	r := start(t, data, "-esipa=")
	require.Empty(t, r.ESipa)
	require.Empty(t, r.EIM)
	file := filepath.Join(t.TempDir(), "card.json")
	code, _, stderr := once(t, "euicc", "-data", data, "-esipa=", "-out", file)
	require.Zero(t, code, stderr)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(text), "eim")
	_, chip := r.euicc()
	card, _ := r.euicc()
	before := r.order(card.EID.String(), "BEFORE", "")
	require.Zero(t, r.stop(), "%s", r.log)

	r = start(t, data)
	require.NotContains(t, r.poll(r.ipa(chip, 0)), "download")
	status, _, err := r.post(r.client(r.Certs, "es2-client"), es2.PathConfirmOrder, fmt.Sprintf(`"iccid":%q,"matchingId":"BEFORE","releaseFlag":true`, before))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, "who repeats an order has it triggered")
	stored := r.waiting(card.EID.String())
	require.Len(t, stored, 1)
	require.Equal(t, before, stored[0])
}

// waiting are the ICCIDs of the downloads that wait for a device, after the program has ended.
func (r *running) waiting(id string) []string {
	r.t.Helper()
	require.Zero(r.t, r.stop(), "%s", r.log)
	f, err := parseFlags([]string{"-data", r.data, "-certs", r.Certs}, nil)
	require.NoError(r.t, err)
	s, err := f.open(r.t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(r.t, err)
	defer func() { require.NoError(r.t, s.close()) }()
	status, err := s.eim.Status(r.t.Context(), eid.MustParse(id))
	require.NoError(r.t, err)
	var list []string
	for _, j := range status.Waiting {
		list = append(list, j.Download.ICCID)
	}
	return list
}

// TestTriggerOfTheCancelled: an order that is cancelled while the eIM is being told of
// it does not wait there.
func TestTriggerOfTheCancelled(t *testing.T) {
	t.Parallel()
	f, err := parseFlags([]string{"-data", filepath.Join(t.TempDir(), "data")}, io.Discard)
	require.NoError(t, err)
	require.NoError(t, f.check(false))
	s, err := f.open(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.close()) }()
	id := eid.MustParse("89999901000000000000000000000067")
	made, err := provision(t.Context(), s.engine, f.fqdn, []order{{EID: id.String(), ProfileType: "iot", device: id}})
	require.NoError(t, err)
	waiting := func() int {
		status, err := s.eim.Status(t.Context(), id)
		require.NoError(t, err)
		return len(status.Waiting)
	}
	before := waiting()
	p, err := s.engine.Profile(t.Context(), made[0].ICCID)
	require.NoError(t, err)
	require.NoError(t, s.trigger(t.Context(), p))
	require.Equal(t, before, waiting(), "it waits once")
	require.NoError(t, s.orderBook().CancelOrder(t.Context(), es2.Call{Requester: ordersRequester, ID: "1"},
		es2.CancelOrder{ICCID: p.ICCID, Device: id, Final: mno.Unavailable}))
	require.Less(t, waiting(), before)
	require.NoError(t, s.trigger(t.Context(), p)) // by a call that began before
	require.Less(t, waiting(), before)
}
