package web_test

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/sqlite"
	"github.com/iotregistry/sdk/registry/web"
	"github.com/iotregistry/sdk/transfer"
)

// Whatever the engine can return comes out of the client as it was.
func TestErrorsSurviveTheTrip(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"not-found":               {registry.ErrNotFound, 404},
		"exists":                  {registry.ErrExists, 409},
		"sponsored":               {registry.ErrSponsored, 409},
		"own":                     {registry.ErrOwn, 409},
		"auth-code":               {registry.ErrAuthCode, 403},
		"locked":                  {registry.ErrLocked, 429},
		"forbidden":               {registry.ErrForbidden, 403},
		"unauthentic":             {registry.ErrUnauthentic, 401},
		"state":                   {registry.ErrState, 409},
		"pending":                 {registry.ErrPending, 409},
		"not-pending":             {registry.ErrNotPending, 409},
		"no-key":                  {registry.ErrNoKey, 409},
		"key-mismatch":            {registry.ErrKeyMismatch, 409},
		"unknown-account":         {registry.ErrUnknown, 404},
		"no-job":                  {registry.ErrNoJob, 404},
		"invalid":                 {registry.ErrInvalid, 400},
		"idempotency-key-reused":  {registry.ErrKeyReused, 422},
		"revision":                {registry.ErrRevision, 412},
		"aborted":                 {registry.ErrAborted, 409},
		"cancelled":               {registry.ErrCancelled, 409},
		"undelivered":             {registry.ErrUndelivered, 502},
		"conflict":                {registry.ErrConflict, 409},
		"closed":                  {registry.ErrClosed, 503},
		"deadline":                {context.DeadlineExceeded, 504},
		"context":                 {context.Canceled, 503},
		"no readiness":            {web.ErrNotReady, 503},
		"internal":                {errDown, 500},
		"internal (of the store)": {registry.ErrTable, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.store.set(fmt.Errorf("row 7: %w", c.err))
			_, err := b.as(parko).Me(t.Context())
			var p *web.Problem
			require.ErrorAs(t, err, &p)
			require.Equal(t, c.status, p.Status)
			require.Equal(t, "urn:iotreg:error:"+p.Kind, p.Type)
			require.NotEmpty(t, p.Title)
			require.Regexp(t, "^urn:iotreg:request:[0-9a-f]{16}$", p.Instance)
			require.Equal(t, registry.Kind(c.err), registry.Kind(err), "of the engine")
			require.Equal(t, registry.Code(c.err), registry.Code(err))
			require.Equal(t, registry.Code(c.err), p.Code)
			require.Equal(t, registry.Retryable(c.err), registry.Retryable(err))
			require.Equal(t, registry.Retryable(c.err), p.Retryable)
			var re *registry.Error
			require.ErrorAs(t, err, &re)
			require.Equal(t, "authenticate", re.Op)
			if strings.HasPrefix(name, "internal") {
				require.NotContains(t, err.Error(), "row 7", "what went wrong inside is nobody's business")
				require.Contains(t, b.log.String(), "row 7", "but the operator's")
				return
			}
			require.ErrorIs(t, err, c.err)
			if inside := []string{"conflict", "closed", "deadline", "context"}; slices.Contains(inside, name) {
				require.NotContains(t, err.Error(), "row 7", "where the registry's own parts have trouble")
				return
			}
			require.Contains(t, err.Error(), "row 7")
		})
	}
}

func TestWhatOnlyHTTPCanMeet(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *bench, c *web.Config) { c.MaxBody, c.MaxJob = 200, 1000 })
	id := b.active(1)[0].String()
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		kind, says         string
	}{
		"no such path":            {"GET", "/v1/nothing", "", nil, 404, "no-route", ""},
		"root":                    {"GET", "/", "", nil, 404, "no-route", ""},
		"other method":            {"PUT", "/v1/devices", "", nil, 405, "method", ""},
		"too large":               {"POST", "/v1/activate", `{"devices":["` + strings.Repeat("1", 300) + `"]}`, nil, 413, "too-large", ""},
		"too large job":           {"POST", "/v1/jobs", `{"op":"activate","items":[` + strings.Repeat(`{"device":"1"},`, 100) + `{"device":"1"}]}`, nil, 413, "too-large", ""},
		"too large list":          {"POST", "/v1/jobs?op=activate", "Device ID\n" + strings.Repeat("1\n", 1000), []string{"Content-Type", "text/csv"}, 413, "too-large", ""},
		"too large claims":        {"POST", "/v1/claims", `{"claims":[` + strings.Repeat(" ", 300) + `]}`, nil, 413, "too-large", ""},
		"no JSON":                 {"POST", "/v1/activate", `x`, nil, 400, "invalid", "not a JSON object"},
		"other media type":        {"POST", "/v1/activate", `{}`, []string{"Content-Type", "text/plain"}, 415, "media-type", ""},
		"claims in another":       {"POST", "/v1/claims", `{}`, []string{"Content-Type", "text/plain"}, 415, "media-type", ""},
		"a job in another":        {"POST", "/v1/jobs", `{}`, []string{"Content-Type", "text/plain"}, 415, "media-type", ""},
		"no media type":           {"POST", "/v1/activate", `{}`, []string{"Content-Type", ""}, 415, "media-type", ""},
		"unknown member":          {"POST", "/v1/activate", `{"devices":[],"device":1}`, nil, 400, "invalid", "unknown field"},
		"member twice":            {"POST", "/v1/activate", `{"devices":[],"Devices":[]}`, nil, 400, "invalid", "twice"},
		"deep":                    {"POST", "/v1/activate", `{"devices":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}`, nil, 400, "invalid", ""},
		"more than one object":    {"POST", "/v1/activate", `{"devices":[]}{}`, nil, 400, "invalid", "after"},
		"no device ID":            {"POST", "/v1/activate", `{"devices":["x"]}`, nil, 400, "invalid", "decimal digits"},
		"no device ID in a path":  {"GET", "/v1/devices/x", "", nil, 400, "invalid", "decimal digits"},
		"no profile ID":           {"GET", "/v1/devices/1/profiles/x", "", nil, 400, "invalid", ""},
		"unknown query parameter": {"GET", "/v1/devices?before=1", "", nil, 400, "invalid", "before"},
		"query parameter twice":   {"GET", "/v1/devices?after=1&after=2", "", nil, 400, "invalid", "after"},
		"damaged query":           {"GET", "/v1/devices?after=%zz", "", nil, 400, "invalid", "query"},
		"page too large":          {"GET", "/v1/devices?limit=1001", "", nil, 400, "invalid", "limit"},
		"no such role":            {"GET", "/v1/accounts?role=king", "", nil, 400, "invalid", "role"},
		"negative page":           {"GET", "/v1/devices?limit=-1", "", nil, 400, "invalid", "limit"},
		"long key":                {"POST", "/v1/activate", `{"devices":[]}`, []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, "invalid", "Idempotency-Key"},
		"empty key":               {"POST", "/v1/activate", `{"devices":[]}`, []string{"Idempotency-Key", ""}, 400, "invalid", "Idempotency-Key"},
		"odd key":                 {"POST", "/v1/activate", `{"devices":[]}`, []string{"Idempotency-Key", "a b"}, 400, "invalid", "Idempotency-Key"},
		"no If-Match":             {"PATCH", "/v1/devices/" + id, `{}`, nil, 428, "precondition-required", "If-Match"},
		"two revisions":           {"PATCH", "/v1/devices/" + id, `{}`, []string{"If-Match", `"1", "2"`}, 400, "invalid", "If-Match"},
		"no tag of ours":          {"PATCH", "/v1/devices/" + id, `{}`, []string{"If-Match", `"x"`}, 412, "revision", ""},
		"weak tag":                {"PATCH", "/v1/devices/" + id, `{}`, []string{"If-Match", `W/"1"`}, 412, "revision", ""},
		"revision zero":           {"PATCH", "/v1/devices/" + id, `{}`, []string{"If-Match", `"0"`}, 412, "revision", ""},
		"nothing to acknowledge":  {"POST", "/v1/messages/ack", `{}`, nil, 400, "invalid", "ids"},
		"job without items":       {"POST", "/v1/jobs", `{"op":"activate"}`, nil, 400, "invalid", "items is missing"},
		"items first":             {"POST", "/v1/jobs", `{"items":[],"op":"activate"}`, nil, 400, "invalid", ""},
		"member after items":      {"POST", "/v1/jobs", `{"op":"activate","items":[],"owner":"x"}`, nil, 400, "invalid", "last member"},
		"unknown member of a job": {"POST", "/v1/jobs", `{"op":"activate","x":1,"items":[]}`, nil, 400, "invalid", `"x"`},
		"member of a job twice":   {"POST", "/v1/jobs", `{"op":"activate","op":"reset","items":[]}`, nil, 400, "invalid", "twice"},
		"unknown member of a row": {"POST", "/v1/jobs", `{"op":"activate","items":[{"device":"1","x":1}]}`, nil, 400, "invalid", "item 1"},
		"member of a row twice":   {"POST", "/v1/jobs", `{"op":"activate","items":[{"device":"1"},{"device":"1","device":"2"}]}`, nil, 400, "invalid", "item 2"},
		"a cut job":               {"POST", "/v1/jobs", `{"op":"activate","items":[{"device":"1"}`, nil, 400, "invalid", "cut short"},
		"job and query":           {"POST", "/v1/jobs?op=activate", `{"op":"activate","items":[]}`, nil, 400, "invalid", "body"},
		"no operation":            {"POST", "/v1/jobs", `{"op":"confuse","items":[]}`, nil, 400, "invalid", "confuse"},
		"odd flag":                {"POST", "/v1/jobs?op=activate&atomic=1", "Device ID\n1\n", []string{"Content-Type", "text/csv"}, 400, "invalid", "atomic"},
		"list without a header":   {"POST", "/v1/jobs?op=activate", "1\n", []string{"Content-Type", "text/csv"}, 400, "invalid", "Device ID"},
		"other account in a body": {"PUT", "/v1/accounts/a", `{"id":"b","role":"owner"}`, nil, 400, "invalid", "two accounts"},
		"no certificate":          {"POST", "/v1/accounts/a/certificates", `{"certificate":"x"}`, nil, 400, "invalid", "PEM"},
		"negative lifetime":       {"POST", "/v1/accounts/a/tokens", `{"lifetime":-1}`, nil, 400, "invalid", "lifetime"},
		"endless lifetime":        {"POST", "/v1/accounts/a/tokens", `{"lifetime":9223372036854775807}`, nil, 400, "invalid", "lifetime"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, text := b.raw(parko, c.method, c.path, c.body, c.headers...)
			require.Equal(t, c.status, res.StatusCode, text)
			require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
			p := problem(t, text)
			require.Equal(t, c.kind, p.Kind, text)
			require.Contains(t, p.Detail, c.says)
			if c.kind != "revision" {
				require.ErrorIs(t, p, registry.ErrInvalid)
				require.Equal(t, 2005, p.Code)
			}
		})
	}
}

func TestTheWorldsWordsForThem(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *bench, c *web.Config) { c.MaxBody = 100 })
	_, err := b.as(parko).Activate(t.Context(), registry.Options{}, make([]eid.ID, 100)...)
	require.ErrorIs(t, err, web.ErrTooLarge)
	require.ErrorIs(t, err, registry.ErrInvalid)
}

// onDisk keeps the bench's records in a file. The result closes and opens it.
func onDisk(t *testing.T, b *bench) (reopen func()) {
	path := filepath.Join(t.TempDir(), "registry.db")
	var db *sql.DB
	var store *sqlite.Store
	shut := func() {
		require.NoError(t, store.Close())
		require.NoError(t, db.Close())
	}
	open := func() {
		var err error
		db, err = sql.Open("sqlite", path)
		require.NoError(t, err)
		store, err = sqlite.Open(context.Background(), db)
		require.NoError(t, err)
		b.store.Store = store
	}
	open()
	t.Cleanup(func() { b.front.Close(); shut() })
	return func() { shut(); open() }
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	for name, durable := range map[string]bool{"in memory": false, "on disk": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reopen := func() {}
			b := newBench(t, func(b *bench, _ *web.Config) {
				if durable {
					reopen = onDisk(t, b)
				}
			})
			ids := b.active(3)
			once := b.as(parko).WithKey("order-4711")
			want, err := once.Reset(t.Context(), registry.Options{}, ids...)
			b.allDone(want, err)

			got, err := once.Reset(t.Context(), registry.Options{}, ids...)
			require.NoError(t, err)
			require.Equal(t, want, got, "the same call gets the same answer")

			b.front.Close()
			reopen()
			b.start()
			once = b.as(parko).WithKey("order-4711")
			got, err = once.Reset(t.Context(), registry.Options{}, ids...)
			require.NoError(t, err)
			require.Equal(t, want, got, "also after a restart")

			_, err = once.Reset(t.Context(), registry.Options{}, ids[0])
			require.ErrorIs(t, err, registry.ErrKeyReused)
			var p *web.Problem
			require.ErrorAs(t, err, &p)
			require.Equal(t, http.StatusUnprocessableEntity, p.Status)

			more, err := b.as(parko).Reset(t.Context(), registry.Options{}, ids...)
			b.allDone(more, err)
			require.NotEqual(t, want, more, "without a key each call is a new one")
		})
	}
}

func TestAJobHasItsKeyToo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(3)
	batch := registry.Batch{Op: registry.OpReset}
	one, err := b.as(parko).WithKey("k").Submit(t.Context(), batch, rowsOf(registry.Row{ID: ids[0]}))
	require.NoError(t, err)
	two, err := b.as(parko).WithKey("k").Submit(t.Context(), batch, rowsOf(registry.Row{ID: ids[0]}))
	require.NoError(t, err)
	require.Equal(t, one.ID, two.ID)
	_, err = b.as(parko).WithKey("k").Submit(t.Context(), batch, rowsOf(registry.Row{ID: ids[1]}))
	require.ErrorIs(t, err, registry.ErrKeyReused)
}

func TestOneOfManyRacersWins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	seen, err := b.as(parko).Device(t.Context(), id)
	require.NoError(t, err)
	require.NotZero(t, seen.Revision())
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			change := registry.StatusChange{Add: []registry.Status{registry.StatusClientHold}, Revision: seen.Revision()}
			var d *registry.Device
			if d, errs[i] = b.as(parko).ChangeStatus(t.Context(), id, change); errs[i] == nil && d.Revision() <= seen.Revision() {
				errs[i] = errors.New("the revision did not grow")
			}
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, registry.ErrRevision)
		require.Equal(t, 2304, registry.Code(err))
		var re *registry.Error
		require.ErrorAs(t, err, &re)
		require.Equal(t, id, re.Device)
	}
	require.Equal(t, 1, won)
	d, err := b.as(parko).ChangeStatus(t.Context(), id, registry.StatusChange{Remove: []registry.Status{registry.StatusClientHold}})
	require.NoError(t, err, "without a revision it does not matter")
	require.Empty(t, d.Status)
}

func TestWhoHasTheDeviceIsNotSentItAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench, _ *web.Config) { b.policy = transfer.Policy{Wait: time.Hour} })
	path := "/v1/devices/" + b.active(1)[0].String()
	res, _ := b.raw(parko, http.MethodGet, path, "")
	tag := res.Header.Get("ETag")
	for name, c := range map[string]struct {
		tag    string
		status int
	}{
		"the same": {tag, 304}, "in a list": {`"x", W/` + tag, 304}, "any": {"*", 304}, "another": {`"0"`, 200}, "unquoted": {strings.Trim(tag, `"`), 200},
	} {
		res, text := b.raw(parko, http.MethodGet, path, "", "If-None-Match", c.tag)
		require.Equal(t, c.status, res.StatusCode, name)
		require.Equal(t, c.status == 304, text == "", name)
		require.Equal(t, tag, res.Header.Get("ETag"), name)
	}
	// A deadline moves the device before anybody has stored that.
	b.requested(eid.MustParse(strings.TrimPrefix(path, "/v1/devices/")))
	res, _ = b.raw(root, http.MethodGet, path, "")
	b.wait(2 * time.Hour)
	res, text := b.raw(root, http.MethodGet, path, "", "If-None-Match", res.Header.Get("ETag"))
	require.Equal(t, 200, res.StatusCode)
	require.Contains(t, text, `"sponsor":"carparkserv"`)
}

func TestListsComeInPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(5)
	var got []string
	after := ""
	for range 4 {
		page, next, err := b.as(city).DevicesPage(t.Context(), after, 2)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), 2)
		for _, d := range page {
			got = append(got, d.ID.String())
		}
		if after = next; next == "" {
			break
		}
	}
	var want []string
	for _, id := range ids {
		want = append(want, id.String())
	}
	require.Equal(t, want, got)

	res, text := b.raw(city, http.MethodGet, "/v1/devices?limit=2", "")
	require.Contains(t, text, `"next":"`+want[1]+`"`)
	require.Equal(t, `</v1/devices?after=`+want[1]+`&limit=2>; rel="next"`, res.Header.Get("Link"))

	b.work()
	for path, a := range map[string]registry.Actor{"/v1/accounts?limit=1": root, "/v1/audit?limit=1": auditor, "/v1/devices/" + want[0] + "/timeline?limit=1": parko} {
		res, text := b.raw(a, http.MethodGet, path, "")
		require.Equal(t, 200, res.StatusCode, text)
		require.Contains(t, res.Header.Get("Link"), "after=", path)
	}
	n := 0
	for line, err := range b.as(auditor).Audit(t.Context(), 3) {
		require.NoError(t, err)
		n++
		require.Equal(t, uint64(3+n), line.Seq)
	}
	require.NotZero(t, n)
}

// A lost answer to a change at a revision can be asked for again.
func TestAPatchCanBeRepeatedWithItsKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	path := "/v1/devices/" + b.active(1)[0].String()
	res, _ := b.raw(parko, http.MethodGet, path, "")
	headers := []string{"If-Match", res.Header.Get("ETag"), "Idempotency-Key", "k"}
	first, text := b.raw(parko, http.MethodPatch, path, `{"add":["clientHold"]}`, headers...)
	require.Equal(t, 200, first.StatusCode, text)
	again, same := b.raw(parko, http.MethodPatch, path, `{"add":["clientHold"]}`, headers...)
	require.Equal(t, 200, again.StatusCode)
	require.Equal(t, text, same)
	other, _ := b.raw(parko, http.MethodPatch, path, `{"add":["clientDeleteProhibited"]}`, headers...)
	require.Equal(t, 422, other.StatusCode)
	headers[3] = "l"
	late, _ := b.raw(parko, http.MethodPatch, path, `{"add":["clientDeleteProhibited"]}`, headers...)
	require.Equal(t, 412, late.StatusCode)
}

func TestReportsAreAnsweredOneByOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	report := func(id eid.ID, profile uint64, point mno.Point) mno.Progress {
		return mno.Progress{Device: id, ProfileID: profile, ICCID: "8944", ProfileType: "t", Time: b.clock(), Point: point}
	}
	failed := report(ids[1], b.device(ids[1]).Profile, mno.PointInstall)
	failed.Failure = &mno.StatusError{Subject: "8.1", Reason: "4.2"}
	results, err := b.as(telco).Progress(t.Context(), report(ids[0], b.device(ids[0]).Profile, mno.PointInstall),
		report(eid.MustParse("77"), 5, mno.PointInstall), report(ids[0], 5, mno.PointInstall), failed)
	require.NoError(t, err)
	require.Len(t, results, 4)
	require.NoError(t, results[0].Err)
	require.ErrorIs(t, results[1].Err, registry.ErrNotFound)
	require.ErrorIs(t, results[2].Err, registry.ErrNotFound)
	require.NoError(t, results[3].Err)
	for i, want := range []registry.ProfileStatus{registry.ProfileInstalled, registry.ProfileFailed} {
		profiles, err := b.as(parko).Profiles(t.Context(), ids[i])
		require.NoError(t, err)
		require.Equal(t, want, profiles[0].Status)
	}
}

func TestACutTrailIsNotTakenForAll(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.active(3)
	b.work()
	b.store.after(3, errDown) // who calls, the head, and one page of lines
	var export strings.Builder
	require.Error(t, b.as(auditor).ExportAudit(t.Context(), &export, 0))
	require.Contains(t, b.log.String(), "an answer was cut")
	b.store.set(nil)
	head, err := b.as(auditor).AuditHead(t.Context())
	require.NoError(t, err)
	require.Equal(t, zone, head.Log)
	var rest strings.Builder
	require.NoError(t, b.as(auditor).ExportAudit(t.Context(), &rest, head.Seq-1))
	require.Equal(t, 2, strings.Count(rest.String(), "\n"), "the last line and the head")
}

func TestExtraHandlersCanAskWhoCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := httptest.NewRequest(http.MethodGet, "/rdap/", nil)
	_, err := b.srv.Authenticate(r)
	require.ErrorIs(t, err, registry.ErrUnauthentic)
	r.Header.Set("Authorization", "bearer  "+string(b.tokens[city.Account]))
	who, err := b.srv.Authenticate(r)
	require.NoError(t, err)
	require.Equal(t, city, who)
}

func TestTheTrailVerifiesOffline(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.active(3)
	b.work()
	var export strings.Builder
	require.NoError(t, b.as(auditor).ExportAudit(t.Context(), &export, 0))
	v := audit.Verifier{Log: zone}
	_, err := v.Verify(strings.NewReader(export.String()))
	require.NoError(t, err)
}

func TestMessagesStayUntilTheyAreAcknowledged(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench, _ *web.Config) { b.policy = transfer.Policy{Wait: time.Hour} })
	_, text := b.raw(parko, http.MethodGet, "/v1/messages", "")
	require.JSONEq(t, `{"code":1300,"messages":[]}`, text)
	b.requested(b.active(2)...)
	_, text = b.raw(parko, http.MethodGet, "/v1/messages", "")
	require.Contains(t, text, `{"code":1301,`)
	msgs, err := b.as(parko).Messages(t.Context(), "", 0)
	require.NoError(t, err)
	require.Len(t, msgs, 2)
	require.Equal(t, registry.MessageTransferRequested, msgs[0].Type)
	require.NoError(t, b.as(parko).Ack(t.Context(), msgs[0].ID))
	msgs, err = b.as(parko).Messages(t.Context(), "", 0)
	require.NoError(t, err)
	require.Len(t, msgs, 1)
	require.ErrorIs(t, b.as(city).Ack(t.Context(), msgs[0].ID), registry.ErrInvalid, "another's message")
	incoming := 0
	for tr, err := range b.as(carPark).Incoming(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, transfer.Pending, tr.Status)
		incoming++
	}
	require.Equal(t, 2, incoming)
}

func TestACallThatFailsMidwayTellsWhatItDid(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(4)
	b.store.after(2, errDown) // who calls, and the first batch of two
	results, err := b.as(parko).SetStatus(t.Context(), registry.StatusChange{Add: []registry.Status{registry.StatusClientDeleteProhibited}}, ids...)
	b.store.set(nil)
	require.Equal(t, "internal", registry.Kind(err))
	require.Len(t, results, 4)
	require.NoError(t, results[0].Err)
	require.Error(t, results[3].Err)
	require.NotContains(t, results[3].Err.Error(), "secret internals")
}

// limiter refuses one account.
type limiter struct{ account string }

func (l limiter) Allow(account string) (bool, time.Duration) {
	return account != l.account, 1500 * time.Millisecond
}

func TestOneAccountIsHeldBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *bench, c *web.Config) { c.Limiter = limiter{parko.Account} })
	res, text := b.raw(parko, http.MethodGet, "/v1/me", "")
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
	require.Equal(t, "2", res.Header.Get("Retry-After"), "whole seconds, rounded up")
	require.Equal(t, "rate", problem(t, text).Kind)
	_, err := b.as(parko).Me(t.Context())
	require.ErrorIs(t, err, web.ErrRate)
	require.True(t, registry.Retryable(err))
	_, err = b.as(carPark).Me(t.Context())
	require.NoError(t, err)
}

func TestAPanicCostsOneRequest(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	b := newBench(t, func(_ *bench, c *web.Config) {
		c.Extra = map[string]http.Handler{
			"/rdap/":   http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("odd") }),
			"/metrics": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "up 1") }),
			"/late": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, strings.Repeat("x", 8<<10))
				panic("late")
			}),
		}
		c.Observe = func(route, method string, status int, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			seen[fmt.Sprint(route, " ", method, " ", status)]++
		}
	})
	res, text := b.raw(registry.Actor{}, http.MethodGet, "/rdap/device/1", "")
	require.Equal(t, http.StatusInternalServerError, res.StatusCode)
	require.NotContains(t, text, "odd")
	require.Contains(t, b.log.String(), "odd")
	res, text = b.raw(registry.Actor{}, http.MethodGet, "/metrics", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "up 1", text)
	_, err := b.as(parko).Me(t.Context())
	require.NoError(t, err)
	late, err := b.front.Client().Get(b.front.URL + "/late")
	require.NoError(t, err)
	defer late.Body.Close()
	_, err = io.ReadAll(late.Body)
	require.Error(t, err, "a part must not look like the whole")
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, 1, seen["/rdap/ GET 500"])
	require.Equal(t, 1, seen["GET /v1/me GET 200"])
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, change := range map[string]func(*web.Config){
		"no registry":       func(c *web.Config) { c.Registry = nil },
		"no transfers":      func(c *web.Config) { c.Transfers = nil },
		"negative size":     func(c *web.Config) { c.MaxBody = -1 },
		"negative time":     func(c *web.Config) { c.Poll = -1 },
		"negative lists":    func(c *web.Config) { c.MaxLists = -1 },
		"negative streams":  func(c *web.Config) { c.MaxStreams = -1 },
		"pattern twice":     func(c *web.Config) { c.Extra = map[string]http.Handler{"GET /v1/me": http.NotFoundHandler()} },
		"pattern that's no": func(c *web.Config) { c.Extra = map[string]http.Handler{"x y z": http.NotFoundHandler()} },
	} {
		cfg := web.Config{Registry: b.reg, Transfers: b.svc}
		change(&cfg)
		_, err := web.New(cfg)
		require.Error(t, err, name)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		res, text := b.raw(registry.Actor{}, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.JSONEq(t, `{"status":"ok"}`, text)
	}
	b.store.set(errDown)
	res, _ := b.raw(registry.Actor{}, http.MethodGet, "/healthz", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	res, text := b.raw(registry.Actor{}, http.MethodGet, "/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.NotContains(t, text, "secret internals")
	require.ErrorIs(t, problem(t, text), web.ErrNotReady)
	require.Contains(t, b.log.String(), "secret internals")
}

func TestACertificateIsACredential(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cert, key := selfSigned(t)
	_, err := b.as(root).TrustCertificate(t.Context(), parko.Account, "box", cert, time.Hour)
	require.NoError(t, err)
	front := httptest.NewUnstartedServer(b.srv)
	front.TLS = b.srv.TLSConfig(nil)
	front.StartTLS()
	defer front.Close()
	with := func(certs ...tls.Certificate) *web.Client {
		tr := front.Client().Transport.(*http.Transport).Clone()
		tr.TLSClientConfig.Certificates = certs
		return &web.Client{BaseURL: front.URL, HTTP: &http.Client{Transport: tr}, Retry: web.Retry{Attempts: 1}}
	}
	who, err := with(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}).Me(t.Context())
	require.NoError(t, err)
	require.Equal(t, parko, who)
	_, err = with().Me(t.Context())
	require.ErrorIs(t, err, registry.ErrUnauthentic)
	other, key := selfSigned(t)
	unknown := with(tls.Certificate{Certificate: [][]byte{other.Raw}, PrivateKey: key})
	_, err = unknown.Me(t.Context())
	require.ErrorIs(t, err, registry.ErrUnauthentic)
	unknown.Token = b.tokens[city.Account]
	who, err = unknown.Me(t.Context())
	require.NoError(t, err)
	require.Equal(t, city, who, "a token comes before a certificate")

	require.NotPanics(t, func() { b.srv.TLSConfig(&tls.Config{ClientAuth: tls.RequireAnyClientCert}) })
	require.Equal(t, tls.RequireAnyClientCert, b.srv.TLSConfig(&tls.Config{ClientAuth: tls.RequireAnyClientCert}).ClientAuth)
}

func TestTokensAndCodesAreShownOnceAndToNobodyElse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	cred, token, err := b.as(root).IssueToken(t.Context(), city.Account, "laptop", time.Hour)
	require.NoError(t, err)
	require.Equal(t, b.clock().Add(time.Hour), cred.Expires)
	c := b.as(city)
	c.Token = token
	codes, err := c.IssueCodes(t.Context(), ids...)
	require.NoError(t, err)
	require.Equal(t, b.clock().Add(registry.DefaultCodeTTL), codes[0].Expires)
	moves := []registry.Move{{Line: 2, Device: ids[0], Code: codes[0].Code}, {Line: 3, Device: ids[1]}}
	results, err := b.as(carPark).RequestTransfer(t.Context(), registry.Options{}, moves...)
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.Equal(t, 3, results[1].Line)
	require.ErrorIs(t, results[1].Err, registry.ErrAuthCode)
	require.Equal(t, 2202, registry.Code(results[1].Err))

	shown := fmt.Sprintf("%v %+v %#v %s %v", c, *c, *c, token, []any{token})
	require.NotContains(t, shown, string(token))
	slog.New(slog.NewTextHandler(b.log, nil)).Info("x", "token", token, "client", c)
	slog.New(slog.NewJSONHandler(b.log, nil)).Info("x", "token", token, "client", web.Client{Token: token})
	require.NotContains(t, b.log.String(), string(token))
	require.NotContains(t, b.log.String(), codes[0].Code.Reveal())
	require.NotContains(t, b.log.String(), string(b.tokens[carPark.Account]))
	require.Contains(t, b.log.String(), `"account":"ottawa","method":"POST","route":"POST /v1/codes","status":200`)

	require.NoError(t, c.RevokeCredential(t.Context(), cred.ID))
	_, err = c.Me(t.Context())
	require.ErrorIs(t, err, registry.ErrUnauthentic)
}

func TestTime(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(_ *bench, c *web.Config) { c.Timeout = time.Millisecond })
	b.store.block()
	_, err := b.as(parko).Me(t.Context())
	require.ErrorIs(t, err, context.DeadlineExceeded, "the registry's")
	var p *web.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, http.StatusGatewayTimeout, p.Status)

	slow := newBench(t)
	slow.store.block()
	ctx, cancel := context.WithCancel(t.Context())
	slow.store.onBlock(cancel)
	_, err = slow.as(parko).Me(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, errors.As(err, &p) && p.Status == 504)
}
