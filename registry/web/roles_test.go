package web_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"iter"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web"
	"github.com/iotregistry/sdk/transfer"
)

// try is one operation that an actor tries on a device of its own.
type try struct {
	ctx    context.Context
	b      *bench
	actor  registry.Actor
	c      *web.Client
	device eid.ID
	job    string // of the actor, where it has one
}

// outcome is what the caller is told: 403, 404, or that it got past the door.
func outcome(err error) string {
	switch registry.Kind(err) {
	case "forbidden":
		return "403"
	case "not-found", "unknown-account", "no-job":
		return "404"
	case "internal", "unauthentic":
		return "failed: " + err.Error()
	}
	return "200"
}

// first is the first refusal of a bulk call.
func first(results []registry.Result, err error) error {
	if err != nil || len(results) == 0 {
		return err
	}
	return results[0].Err
}

func drained[T any](seq iter.Seq2[T, error]) error {
	for _, err := range seq {
		if err != nil {
			return err
		}
	}
	return nil
}

func justError[T any](_ T, err error) error { return err }

func selfSigned(t testing.TB) (*x509.Certificate, any) {
	key := signer(t)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-24 * 365 * time.Hour), NotAfter: time.Now().Add(24 * 365 * 10 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert, key
}

var anyOptions registry.Options

// Who may do what, through HTTP: for each operation what each role is told.
// Devices are ParkoServ's, the city's and telco's.
func roleTable() []roleCase {
	return []roleCase{
		{"me", "200 200 200 200 200 200", func(x *try) error { return justError(x.c.Me(x.ctx)) }},
		{"listAccounts", "200 403 403 403 403 200", func(x *try) error { return drained(x.c.Accounts(x.ctx, "")) }},
		{"getAccount", "200 200 200 200 200 200", func(x *try) error { return justError(x.c.Account(x.ctx, x.actor.Account)) }},
		{"putAccount", "200 403 403 403 403 403", func(x *try) error {
			return x.c.PutAccount(x.ctx, registry.Account{ID: "new", Role: registry.RoleOwner})
		}},
		{"listCredentials", "200 200 200 200 200 200", func(x *try) error { return justError(x.c.Credentials(x.ctx, x.actor.Account)) }},
		{"issueToken", "200 403 403 403 403 403", func(x *try) error {
			_, _, err := x.c.IssueToken(x.ctx, city.Account, "x", time.Hour)
			return err
		}},
		{"trustCertificate", "200 403 403 403 403 403", func(x *try) error {
			cert, _ := selfSigned(x.b.t)
			return justError(x.c.TrustCertificate(x.ctx, city.Account, "x", cert, 0))
		}},
		{"revokeCredential", "200 200 200 200 200 200", func(x *try) error {
			creds, err := x.c.Credentials(x.ctx, x.actor.Account)
			if err != nil {
				return err
			}
			return x.c.RevokeCredential(x.ctx, creds[0].ID)
		}},
		{"fileClaims", "403 403 403 403 200 403", func(x *try) error {
			return first(x.c.File(x.ctx, []registry.Claim{{Device: eid.MustParse("77"), Key: "odd"}}))
		}},
		{"import", "403 200 403 403 403 403", func(x *try) error {
			return first(x.c.Import(x.ctx, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: []registry.Row{{ID: eid.MustParse("77")}}}))
		}},
		{"activate", "200 200 403 403 404 403", func(x *try) error { return first(x.c.Activate(x.ctx, anyOptions, x.device)) }},
		{"reset", "200 200 403 403 404 403", func(x *try) error { return first(x.c.Reset(x.ctx, anyOptions, x.device)) }},
		{"forgetCardKeys", "200 200 403 403 404 403", func(x *try) error { return first(x.c.ForgetCardKeys(x.ctx, anyOptions, x.device)) }},
		{"switch", "200 200 403 403 404 403", func(x *try) error { return first(x.c.Switch(x.ctx, telco.Account, anyOptions, x.device)) }},
		{"delete", "200 200 403 403 404 403", func(x *try) error { return first(x.c.Delete(x.ctx, anyOptions, x.device)) }},
		{"restore", "200 200 403 403 404 403", func(x *try) error { return first(x.c.Restore(x.ctx, anyOptions, x.device)) }},
		{"setStatus", "200 200 403 403 403 403", func(x *try) error { return first(x.c.SetStatus(x.ctx, registry.StatusChange{}, x.device)) }},
		{"changeStatus", "200 200 403 403 403 403", func(x *try) error {
			return justError(x.c.ChangeStatus(x.ctx, x.device, registry.StatusChange{}))
		}},
		{"confirm", "403 200 403 403 403 403", func(x *try) error { return first(x.c.Confirm(x.ctx, registry.Confirmation{Device: x.device})) }},
		{"progress", "403 403 403 200 403 403", func(x *try) error {
			return first(x.c.Progress(x.ctx, mno.Progress{Device: x.device, ProfileID: x.b.device(x.device).Profile, ICCID: "8944", ProfileType: "t", Time: x.b.clock(), Point: mno.PointDownload}))
		}},
		{"issueCodes", "403 403 200 403 404 403", func(x *try) error {
			codes, err := x.c.IssueCodes(x.ctx, x.device)
			if err != nil {
				return err
			}
			return codes[0].Err
		}},
		{"clearCodes", "403 403 200 403 404 403", func(x *try) error { return first(x.c.ClearCodes(x.ctx, anyOptions, x.device)) }},
		{"getCode", "200 200 200 200 404 200", func(x *try) error { return justError(x.c.Code(x.ctx, x.device)) }},
		{"listDevices", "200 200 200 403 403 200", func(x *try) error { return drained(x.c.Devices(x.ctx)) }},
		{"getDevice", "200 200 200 200 404 200", func(x *try) error { return justError(x.c.Device(x.ctx, x.device)) }},
		{"listProfiles", "200 200 200 200 404 200", func(x *try) error { return justError(x.c.Profiles(x.ctx, x.device)) }},
		{"getIssued", "200 200 200 200 404 200", func(x *try) error {
			return justError(x.c.Issued(x.ctx, x.device, x.b.device(x.device).Profile))
		}},
		{"timeline", "200 200 200 200 404 200", func(x *try) error { return drained(x.c.Timeline(x.ctx, x.device)) }},
		{"listTransfers", "200 200 200 200 404 200", func(x *try) error { return justError(x.c.Transfers(x.ctx, x.device)) }},
		{"requestTransfer", "403 200 403 403 403 403", func(x *try) error {
			return first(x.c.RequestTransfer(x.ctx, anyOptions, registry.Move{Device: x.device}))
		}},
		{"approveTransfer", "200 200 403 403 403 403", func(x *try) error { return first(x.c.ApproveTransfer(x.ctx, anyOptions, x.device)) }},
		{"rejectTransfer", "200 200 403 403 403 403", func(x *try) error { return first(x.c.RejectTransfer(x.ctx, anyOptions, x.device)) }},
		{"cancelTransfer", "200 200 403 403 403 403", func(x *try) error {
			if x.actor == parko { // who asked for it is the one who may take it back
				x.c = x.b.as(carPark)
			}
			return first(x.c.CancelTransfer(x.ctx, anyOptions, x.device))
		}},
		{"undoTransfer", "200 200 200 403 403 403", func(x *try) error { return first(x.c.UndoTransfer(x.ctx, anyOptions, x.device)) }},
		{"listIncoming", "403 200 403 403 403 403", func(x *try) error { return drained(x.c.Incoming(x.ctx)) }},
		{"submitJob", "200 200 403 403 403 403", func(x *try) error {
			return justError(x.c.Submit(x.ctx, registry.Batch{Op: registry.OpActivate}, rowsOf(registry.Row{ID: x.device})))
		}},
		{"listJobs", "200 200 200 200 200 200", func(x *try) error { return drained(x.c.Jobs(x.ctx)) }},
		{"getJob", "200 200 404 404 404 200", func(x *try) error { return justError(x.c.Job(x.ctx, x.job)) }},
		{"listJobResults", "200 200 404 404 404 200", func(x *try) error { return drained(x.c.JobResults(x.ctx, x.job, 0)) }},
		{"watchJob", "200 200 404 404 404 200", func(x *try) error {
			for _, err := range x.c.WatchJob(x.ctx, x.job) {
				return err
			}
			return nil
		}},
		{"cancelJob", "200 200 404 404 404 404", func(x *try) error { return justError(x.c.CancelJob(x.ctx, x.job)) }},
		{"poll", "200 200 200 200 200 200", func(x *try) error { return justError(x.c.Messages(x.ctx, "", 0)) }},
		{"acknowledge", "200 200 200 200 200 200", func(x *try) error { return x.c.Ack(x.ctx, "odd") }},
		{"audit", "200 403 403 403 403 200", func(x *try) error { return drained(x.c.Audit(x.ctx, 0)) }},
		{"auditHead", "200 403 403 403 403 200", func(x *try) error { return justError(x.c.AuditHead(x.ctx)) }},
		{"exportAudit", "200 403 403 403 403 200", func(x *try) error { return x.c.ExportAudit(x.ctx, io.Discard, 0) }},
	}
}

type roleCase struct {
	operation string
	want      string // what operator, asp, owner, mno, maker and auditor are told
	do        func(*try) error
}

func rowsOf(rows ...registry.Row) iter.Seq2[registry.Row, error] {
	return func(yield func(registry.Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (b *bench) device(id eid.ID) *registry.Device {
	b.t.Helper()
	d, err := b.reg.Device(context.Background(), root, id)
	require.NoError(b.t, err)
	return d
}

// requested has CarParkServ ask for devices.
func (b *bench) requested(ids ...eid.ID) {
	b.t.Helper()
	codes, err := b.reg.IssueCodes(context.Background(), city, ids...)
	require.NoError(b.t, err)
	moves := make([]registry.Move, len(ids))
	for i, id := range ids {
		moves[i] = registry.Move{Device: id, Code: codes[i].Code}
	}
	b.allDone(b.svc.Request(context.Background(), carPark, registry.Options{}, moves...))
}

func TestRolesAndOperations(t *testing.T) {
	t.Parallel()
	roles := []registry.Actor{root, parko, city, telco, maker, auditor}
	documented := map[string]any{}
	for _, ops := range spec(t)["paths"].(anyMap) {
		for _, op := range ops.(anyMap) {
			if op := op.(anyMap); op["security"] == nil {
				documented[op["operationId"].(string)] = op["x-roles"]
			}
		}
	}
	for _, c := range roleTable() {
		listed, known := documented[c.operation]
		require.True(t, known, c.operation)
		delete(documented, c.operation)
		t.Run(c.operation, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(b *bench, _ *web.Config) { b.policy = transfer.Policy{Wait: time.Hour} })
			ids := b.active(len(roles))
			switch c.operation {
			case "approveTransfer", "rejectTransfer", "cancelTransfer":
				b.requested(ids...)
			}
			var got []string
			var allowed []any
			for i, actor := range roles {
				job, err := b.reg.Submit(t.Context(), parko, registry.Batch{Op: registry.OpReset}, rowsOf(registry.Row{ID: ids[i]}))
				require.NoError(t, err)
				x := &try{t.Context(), b, actor, b.as(actor), ids[i], job.ID}
				if got = append(got, outcome(c.do(x))); got[i] == "200" {
					allowed = append(allowed, string(actor.Role))
				}
			}
			require.Equal(t, c.want, strings.Join(got, " "))
			if listed != nil {
				require.ElementsMatch(t, listed, allowed, "x-roles in the document")
			}
			if c.operation != "acknowledge" && c.operation != "fileClaims" {
				require.True(t, slices.ContainsFunc(b.validated(), func(s string) bool { return strings.HasPrefix(s, c.operation+" 20") }),
					"no success was checked: %v", b.validated())
			}
		})
	}
	require.Empty(t, documented, "operations that no row tries")
}

func TestNobodyGetsInWithoutACredential(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, pattern := range web.Patterns() {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{id}", "1", "{profile}", "1").Replace(path)
		public := slices.Contains([]string{"/healthz", "/readyz", "/openapi.json"}, path)
		for name, header := range map[string][]string{
			"none": nil, "wrong token": {"Authorization", "Bearer iotreg_wrong"}, "other scheme": {"Authorization", "Basic eDp5"},
		} {
			res, text := b.raw(registry.Actor{}, method, path, "", header...)
			if public {
				require.Equal(t, http.StatusOK, res.StatusCode, "%s %s", pattern, name)
				continue
			}
			require.Equal(t, http.StatusUnauthorized, res.StatusCode, "%s %s", pattern, name)
			require.Contains(t, res.Header.Get("WWW-Authenticate"), "Bearer ")
			require.Equal(t, "unauthentic", problem(t, text).Kind)
			require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
		}
	}
}

func TestClaimsInTheirThreeForms(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, c := range map[string]struct {
		do   func() ([]registry.Result, error)
		kind string
	}{
		"signed by nobody known": {func() ([]registry.Result, error) {
			return b.as(city).FileSigned(t.Context(), strings.NewReader("Device ID,Public Key\n1,x\n"), []byte("odd"))
		}, "invalid"},
		"no signature": {func() ([]registry.Result, error) {
			return b.as(city).FileSigned(t.Context(), strings.NewReader("Device ID,Public Key\n1,x\n"), nil)
		}, "invalid"},
		"no certificates": {func() ([]registry.Result, error) {
			return b.as(city).FileCertificates(t.Context(), bytes.NewReader([]byte("odd")))
		}, "invalid"},
		"in JSON by no maker": {func() ([]registry.Result, error) { return b.as(city).File(t.Context(), nil) }, "forbidden"},
		"in JSON by a maker":  {func() ([]registry.Result, error) { return b.as(maker).File(t.Context(), nil) }, ""},
	} {
		_, err := c.do()
		require.Equal(t, c.kind, registry.Kind(err), "%s: %v", name, err)
	}
}
