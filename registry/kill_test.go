package registry_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/sqlite"
	"github.com/iotregistry/sdk/transfer"
)

// killChild makes the test binary a registry in a process of its own, which
// kills itself: FOLDER URL EFFECT LIFE.
const killChild = "registry-that-dies"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == killChild {
		effects, err := childLife(os.Args[2:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(effects)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Every process is born that long after the one before, so that what that one
// had claimed is free.
const lifetime = registry.DefaultLease + time.Second

var birth = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const killBatch = 100 // devices in one part of the job

// estate is what every life of the registry is given, beside the database.
type estate struct {
	Issuer, Audit []byte // keys, PKCS #8
	Chain         [][]byte
	Devices       []eid.ID
	Codes         []string
}

func (e *estate) key(pkcs8 []byte) (*ecdsa.PrivateKey, error) {
	k, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("no ECDSA key")
	}
	return key, nil
}

// items are the rows of the transfer.
func (e *estate) items() iter.Seq2[registry.Row, error] {
	return func(yield func(registry.Row, error) bool) {
		for i, id := range e.Devices {
			code, err := registry.ParseAuthCode(e.Codes[i])
			if !yield(registry.Row{Line: i + 2, ID: id, Code: code}, err) {
				return
			}
		}
	}
}

// reaper counts effects and ends the process, as an operating system does that
// is out of memory, at the one it was told.
type reaper struct{ left, passed atomic.Int64 }

func (r *reaper) effect() {
	r.passed.Add(1)
	if r.left.Add(-1) != 0 {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill() // SIGKILL: nothing is flushed, closed or deferred
	}
	if err != nil {
		panic(err)
	}
	select {} // until it comes
}

type reapedStore struct {
	registry.Store
	reaper *reaper
}

func (s reapedStore) Update(ctx context.Context, fn func(registry.Tx) error) error {
	err := s.Store.Update(ctx, func(tx registry.Tx) error {
		err := fn(reapedTx{tx, s.reaper})
		s.reaper.effect() // before COMMIT
		return err
	})
	s.reaper.effect()
	return err
}

type reapedTx struct {
	registry.Tx
	reaper *reaper
}

func (t reapedTx) Put(ctx context.Context, table registry.Table, recs ...registry.Record) error {
	t.reaper.effect()
	return t.Tx.Put(ctx, table, recs...)
}

func (t reapedTx) Delete(ctx context.Context, table registry.Table, keys ...string) error {
	t.reaper.effect()
	return t.Tx.Delete(ctx, table, keys...)
}

type reapedOperator struct {
	mno.Operator
	reaper *reaper
}

func (o reapedOperator) Order(ctx context.Context, order mno.Order) (mno.Receipt, error) {
	o.reaper.effect()
	r, err := o.Operator.Order(ctx, order)
	o.reaper.effect()
	return r, err
}

// remoteZone publishes to the zone of the parent process.
type remoteZone struct {
	url    string
	reaper *reaper
}

type zoneChange struct{ Add, Remove []string }

func (z remoteZone) Publish(ctx context.Context, c publish.ChangeSet) (publish.Receipt, error) {
	change := zoneChange{Remove: c.RemoveNames}
	for _, rr := range c.Add {
		change.Add = append(change.Add, rr.String())
	}
	body, err := json.Marshal(change)
	if err != nil {
		return publish.Receipt{}, err
	}
	z.reaper.effect()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, z.url, bytes.NewReader(body))
	if err != nil {
		return publish.Receipt{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return publish.Receipt{}, err
	}
	defer resp.Body.Close()
	z.reaper.effect()
	if resp.StatusCode != http.StatusNoContent {
		return publish.Receipt{}, errors.New(resp.Status)
	}
	return publish.Receipt{}, nil
}

// childLife is one life of a registry on what the ones before have left. It ends
// with the job and everything that follows from it, or in the middle.
func childLife(args []string) (effects int64, err error) {
	if len(args) != 4 {
		return 0, errors.New("want FOLDER URL EFFECT LIFE")
	}
	folder, url := args[0], args[1]
	effect, err1 := strconv.Atoi(args[2])
	life, err2 := strconv.Atoi(args[3])
	text, err3 := os.ReadFile(filepath.Join(folder, "estate.json"))
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, err
	}
	var e estate
	if err := json.Unmarshal(text, &e); err != nil {
		return 0, err
	}
	db, err := sql.Open("sqlite", filepath.Join(folder, "registry.db"))
	if err != nil {
		return 0, err
	}
	defer db.Close()
	r := &reaper{}
	r.left.Store(int64(effect))
	reg, err := childRegistry(&e, db, url, r, birth.Add(time.Duration(life)*lifetime))
	if err != nil {
		return 0, err
	}
	err = liveOut(context.Background(), reg, &e)
	return r.passed.Load(), err
}

func childRegistry(e *estate, db *sql.DB, url string, r *reaper, now time.Time) (*registry.Registry, error) {
	store, err := sqlite.Open(context.Background(), db)
	if err != nil {
		return nil, err
	}
	issuer, err1 := e.key(e.Issuer)
	auditKey, err2 := e.key(e.Audit)
	authority, err3 := profile.LoadAuthority(zone, e.Chain, issuer)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	return registry.New(registry.Config{
		Zone: zone, Store: reapedStore{store, r}, Authority: authority, Publisher: remoteZone{url + "/zone", r},
		Operators: map[string]mno.Operator{telco.Account: reapedOperator{
			&es2.Client{BaseURL: url, HTTP: client, Requester: "registry"}, r,
		}},
		AuditKey: auditKey, Batch: killBatch, Now: func() time.Time { return now },
	})
}

// liveOut submits the job again, works until nothing is left to do, and
// confirms every device.
func liveOut(ctx context.Context, reg *registry.Registry, e *estate) error {
	transfer.New(reg, transfer.Policy{})
	actor := carPark
	actor.Key = "the fleet"
	j, err := reg.Submit(ctx, actor, registry.Batch{Op: registry.OpTransfer}, e.items())
	if err != nil {
		return err
	}
	if _, err := reg.Resume(ctx, root); err != nil {
		return err
	}
	if _, err := reg.Work(ctx, root); err != nil {
		return err
	}
	if j, err = reg.Job(ctx, carPark, j.ID); err != nil || j.State != registry.JobDone {
		return fmt.Errorf("the job is not done but %v: %w", j, err)
	}
	if err := confirmAll(ctx, reg); err != nil {
		return err
	}
	_, err = reg.Resume(ctx, root)
	return err
}

// confirmAll has CarParkServ say of each device it has that it connected.
func confirmAll(ctx context.Context, reg *registry.Registry) error {
	devices, _, err := reg.Devices(ctx, carPark, "", 0)
	if err != nil {
		return err
	}
	var cs []registry.Confirmation
	for _, d := range devices {
		cs = append(cs, registry.Confirmation{Device: d.ID, ProfileID: d.Profile})
	}
	results, err := reg.Confirm(ctx, carPark, cs...)
	for _, res := range registry.Failed(results) {
		err = errors.Join(err, res.Err)
	}
	return err
}

// prepareEstate makes n devices of ParkoServ with their codes, and returns the
// folder and the names in the zone.
func prepareEstate(t *testing.T, n int) (string, *estate, map[string]bool) {
	folder := t.TempDir()
	issuer, auditKey := signer(t), signer(t)
	db, err := sql.Open("sqlite", filepath.Join(folder, "registry.db"))
	require.NoError(t, err)
	store, err := sqlite.Open(t.Context(), db)
	require.NoError(t, err)
	b := newBench(t, func(c *registry.Config) {
		c.Store, c.AuditKey = store, auditKey
		c.Authority, err = profile.NewAuthority(profile.AuthorityConfig{Registry: zone, RootKey: signer(t), IssuerKey: issuer, Now: c.Now})
		require.NoError(t, err)
	})
	e := &estate{Chain: b.reg.Authority.Chain(), Devices: b.active(n)}
	codes, err := b.reg.IssueCodes(t.Context(), city, e.Devices...)
	require.NoError(t, err)
	for _, c := range codes {
		e.Codes = append(e.Codes, c.Code.Reveal())
	}
	e.Issuer, err = x509.MarshalPKCS8PrivateKey(issuer)
	require.NoError(t, err)
	e.Audit, err = x509.MarshalPKCS8PrivateKey(auditKey)
	require.NoError(t, err)
	require.NoError(t, errors.Join(store.Close(), db.Close())) // the write-ahead log ends with it
	text, err := json.Marshal(e)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "estate.json"), text, 0o600))
	return folder, e, b.zone.names
}

// survivors are the systems that a registry's death does not touch: the zone
// and the operator.
type survivors struct {
	*httptest.Server
	zone   *zoneFake
	engine *smdp.Engine
}

func newSurvivors(t *testing.T, names map[string]bool) *survivors {
	s := &survivors{zone: &zoneFake{names: maps.Clone(names)}}
	var err error
	s.engine, err = smdp.New(smdp.Config{Address: "smdp.example"})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/", es2.NewHandler(s.engine, &es2.Options{AllowNoClientCertificate: true}))
	watched := watchedZone{s.zone, t}
	mux.HandleFunc("POST /zone", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = publishText(watched, body)
		}
		if err != nil { // cut off by a death
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func publishText(zone publish.Publisher, body []byte) error {
	var change zoneChange
	if err := json.Unmarshal(body, &change); err != nil {
		return err
	}
	set := publish.ChangeSet{RemoveNames: change.Remove}
	for _, line := range change.Add {
		rr, err := dns.NewRR(line)
		if err != nil {
			return err
		}
		set.Add = append(set.Add, rr)
	}
	_, err := zone.Publish(context.Background(), set)
	return err
}

// life runs one child and reports how many effects it had, or that it was
// killed. Any other end is a failure.
func (s *survivors) life(t *testing.T, folder string, effect, number int) (effects int, killed bool) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, killChild, folder, s.URL, strconv.Itoa(effect), strconv.Itoa(number))
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err = cmd.Run(); err != nil {
		require.Empty(t, stderr.String(), "life %d to effect %d", number, effect)
		require.NotZero(t, effect, "life %d: %v", number, err)
		return 0, true
	}
	effects, err = strconv.Atoi(strings.TrimSpace(stdout.String()))
	require.NoError(t, err)
	return effects, false
}

// TestKills kills a process that transfers 1000 devices, at random effects and
// again and again until one comes to the end, and does all that until it has
// killed 50. Each time nothing may be lost and nothing done twice.
func TestKills(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: it starts dozens of processes")
	}
	const devices, kills = 1000, 50
	folder, e, names := prepareEstate(t, devices)
	rnd := rand.New(rand.NewPCG(2026, 11))
	most := killUntilDone(t, folder, e, names, func() int { return 0 }).effects
	require.Greater(t, most, 2*devices)
	for total := 0; total < kills; {
		run := killUntilDone(t, folder, e, names, func() int { return 1 + rnd.IntN(most/6) })
		total += run.kills
		t.Logf("%d kills in one transfer of %d devices, which has %d effects", run.kills, devices, most)
	}
}

type killedRun struct{ kills, effects int }

// killUntilDone runs the transfer on a copy of folder in as many lives as it
// takes, each of which ends at the effect that next says (0: none), and checks
// what they have left.
func killUntilDone(t *testing.T, folder string, e *estate, names map[string]bool, next func() int) (run killedRun) {
	t.Helper()
	copied := t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(folder)))
	s := newSurvivors(t, names)
	defer s.Close()
	for {
		effects, killed := s.life(t, copied, next(), run.kills)
		if run.effects += effects; !killed {
			break
		}
		run.kills++
		require.Less(t, run.kills, 200, "no end in sight")
	}
	db, err := sql.Open("sqlite", filepath.Join(copied, "registry.db"))
	require.NoError(t, err)
	defer db.Close()
	now := birth.Add(time.Duration(run.kills) * lifetime)
	reg, err := childRegistry(e, db, s.URL, &reaper{}, now)
	require.NoError(t, err)
	jobs, err := reg.Jobs(t.Context(), carPark, "", 0)
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	auditKey, err := e.key(e.Audit)
	require.NoError(t, err)
	m := &moved{
		t: t, reg: reg, ids: e.Devices, zone: s.zone.names, job: jobs[0].ID, key: auditKey.Public(),
		order: func(iccid string) uint64 {
			p, err := s.engine.Profile(t.Context(), iccid)
			require.NoError(t, err)
			return p.ProfileID
		},
	}
	m.checkWhole()
	return run
}
