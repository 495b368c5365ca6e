package main

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
	_ "modernc.org/sqlite" // pure Go, so that the bench needs no C compiler

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/sqlite"
	"github.com/iotregistry/sdk/transfer"
)

const registryZone = "iotregistry.ca"

func rootActor() registry.Actor {
	return registry.Actor{Account: "registry", Role: registry.RoleOperator}
}
func parkoActor() registry.Actor {
	return registry.Actor{Account: "parkoserv", Role: registry.RoleASP}
}
func carParkActor() registry.Actor {
	return registry.Actor{Account: "carparkserv", Role: registry.RoleASP}
}
func cityActor() registry.Actor  { return registry.Actor{Account: "ottawa", Role: registry.RoleOwner} }
func makerActor() registry.Actor { return registry.Actor{Account: "maker", Role: registry.RoleMaker} }

const telcoAccount = "telco"

// opener opens a new store and says how to end it.
type opener func(ctx context.Context) (registry.Store, func() error, error)

// onSQLite opens a store in a temporary folder, on disk.
func onSQLite(ctx context.Context) (registry.Store, func() error, error) {
	dir, err := os.MkdirTemp("", "bench-registry-")
	if err != nil {
		return nil, nil, err
	}
	store, closeStore, err := openSQLite(ctx, filepath.Join(dir, "registry.db"))
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return store, func() error { return errors.Join(closeStore(), os.RemoveAll(dir)) }, nil
}

func openSQLite(ctx context.Context, file string) (registry.Store, func() error, error) {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlite.Open(ctx, db)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return store, func() error { return errors.Join(store.Close(), db.Close()) }, nil
}

// fleet is a registry with its surroundings and devices that makers have vouched
// for.
type fleet struct {
	reg    *registry.Registry
	issuer *ecdsa.PrivateKey
	audit  *ecdsa.PrivateKey
	zone   *publish.Zone
	engine *smdp.Engine
	close  func() error

	rows  []registry.Row
	ids   []eid.ID
	codes []registry.AuthCode
}

func newFleet(ctx context.Context, devices int, open opener) (*fleet, error) {
	store, closeStore, err := open(ctx)
	if err != nil {
		return nil, err
	}
	f := &fleet{close: closeStore}
	if err = f.build(ctx, store); err == nil {
		err = f.vouch(ctx, devices)
	}
	if err != nil {
		return nil, errors.Join(err, closeStore())
	}
	return f, nil
}

func newSigner() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func newSignedZone() (*publish.Zone, error) {
	key, err := newSigner()
	if err != nil {
		return nil, err
	}
	return publish.NewZone(publish.ZoneConfig{
		Origin: dns.Fqdn(registryZone), Keys: []publish.Key{{Signer: key, Flags: publish.KSK, Algorithm: dns.ECDSAP256SHA256}},
	})
}

func (f *fleet) build(ctx context.Context, store registry.Store) (err error) {
	root, err1 := newSigner()
	issuer, err2 := newSigner()
	audit, err3 := newSigner()
	zone, err4 := newSignedZone()
	engine, err5 := smdp.New(smdp.Config{Address: "smdp.example"})
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	f.issuer, f.audit, f.zone, f.engine = issuer, audit, zone, engine
	authority, err := profile.NewAuthority(profile.AuthorityConfig{Registry: registryZone, RootKey: root, IssuerKey: issuer})
	if err != nil {
		return err
	}
	f.reg, err = registry.New(registry.Config{
		Zone: registryZone, Store: store, Authority: authority, Publisher: zone, AuditKey: audit,
		Operators: map[string]mno.Operator{telcoAccount: engine.Operator("registry")}, FirstProfileID: 11,
	})
	if err != nil {
		return err
	}
	transfer.New(f.reg, transfer.Policy{})
	for _, a := range []registry.Account{
		{ID: parkoActor().Account, Role: registry.RoleASP, Host: "parkoserv.ca", Port: 443},
		{ID: carParkActor().Account, Role: registry.RoleASP, Host: "carparkserv.ca", Port: 443},
		{ID: cityActor().Account, Role: registry.RoleOwner}, {ID: makerActor().Account, Role: registry.RoleMaker},
		{ID: telcoAccount, Role: registry.RoleMNO},
	} {
		if err := f.reg.PutAccount(ctx, rootActor(), a); err != nil {
			return err
		}
	}
	return nil
}

// vouch makes n more devices, whose maker files its claims.
func (f *fleet) vouch(ctx context.Context, n int) error {
	claims := make([]registry.Claim, n)
	for i := range claims {
		id, err := eid.Parse(fmt.Sprint(1000000000000001 + len(f.ids)))
		if err != nil {
			return err
		}
		secret, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		public, err := hpke.NewDHKEMPublicKey(secret.PublicKey())
		if err != nil {
			return err
		}
		claims[i] = registry.Claim{Device: id, Key: profile.FormatPublicKey(public)}
		f.rows = append(f.rows, registry.Row{Line: len(f.ids) + 2, ID: id, Model: "Parking Meter", Version: "1.0"})
		f.ids = append(f.ids, id)
	}
	return allDone(f.reg.File(ctx, makerActor(), claims))
}

func allDone(results []registry.Result, err error) error {
	if failed := registry.Failed(results); len(failed) > 0 {
		return errors.Join(err, fmt.Errorf("%d of %d: %w", len(failed), len(results), failed[0].Err))
	}
	return err
}

func (f *fleet) importRows(ctx context.Context, rows []registry.Row) error {
	return allDone(f.reg.Import(ctx, parkoActor(), registry.Import{Owner: cityActor().Account, MNO: telcoAccount, Rows: rows}))
}

func (f *fleet) activate(ctx context.Context, ids []eid.ID) error {
	return allDone(f.reg.Activate(ctx, parkoActor(), registry.Options{}, ids...))
}

func (f *fleet) drawCodes(ctx context.Context) error {
	issued, err := f.reg.IssueCodes(ctx, cityActor(), f.ids...)
	f.codes = make([]registry.AuthCode, len(issued))
	for i, c := range issued {
		f.codes[i], err = c.Code, errors.Join(err, c.Err)
	}
	return err
}

// transferByJob has CarParkServ take the whole fleet over.
func (f *fleet) transferByJob(ctx context.Context) error {
	j, err := f.reg.Submit(ctx, carParkActor(), registry.Batch{Op: registry.OpTransfer}, withCodes(f.ids, f.codes))
	if err != nil {
		return err
	}
	if _, err = f.reg.Work(ctx, rootActor()); err != nil {
		return err
	}
	if j, err = f.reg.Job(ctx, carParkActor(), j.ID); err == nil && (j.State != registry.JobDone || j.Failed > 0) {
		err = fmt.Errorf("the job is %s with %d of %d done and %d failed", j.State, j.Done, j.Total, j.Failed)
	}
	return err
}

func withCodes(ids []eid.ID, codes []registry.AuthCode) func(func(registry.Row, error) bool) {
	return func(yield func(registry.Row, error) bool) {
		for i, id := range ids {
			if !yield(registry.Row{Line: i + 2, ID: id, Code: codes[i]}, nil) {
				return
			}
		}
	}
}

// records are all that a store holds, without those that stand in except
// unchanged.
func (f *fleet) records(ctx context.Context, except map[registry.Table][]registry.Record) (map[registry.Table][]registry.Record, error) {
	all := map[registry.Table][]registry.Record{}
	err := f.reg.Store.View(ctx, func(tx registry.Tx) error {
		for _, t := range registry.Tables() {
			recs, err := tx.List(ctx, t, registry.Query{})
			if err != nil {
				return err
			}
			known := map[string]uint64{}
			for _, rec := range except[t] {
				known[rec.Key] = rec.Version
			}
			all[t] = slices.DeleteFunc(recs, func(rec registry.Record) bool { return known[rec.Key] == rec.Version })
		}
		return nil
	})
	return all, err
}

func count(tables map[registry.Table][]registry.Record) (n int) {
	for _, recs := range tables {
		n += len(recs)
	}
	return n
}

// bareCrypto is how long the cryptography of n profiles takes alone, on as many
// goroutines as the registry uses: for each a key, the signatures on
// certificate, seal and CERT record, and the encryption.
func bareCrypto(n int) (time.Duration, error) {
	key, err := newSigner()
	if err != nil {
		return 0, err
	}
	secret, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return 0, err
	}
	to, err := hpke.NewDHKEMPublicKey(secret.PublicKey())
	if err != nil {
		return 0, err
	}
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var all sync.WaitGroup
	begin := time.Now()
	for w := range workers {
		all.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = oneProfile(key, to)
			}
		})
	}
	all.Wait()
	return time.Since(begin), errors.Join(errs...)
}

func oneProfile(key crypto.Signer, to hpke.PublicKey) error {
	plain := make([]byte, 2500) // as an encoded profile
	digest := sha256.Sum256(plain)
	_, err := newSigner()
	for range 3 {
		_, signErr := key.Sign(rand.Reader, digest[:], crypto.SHA256)
		err = errors.Join(err, signErr)
	}
	_, sealErr := hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES128GCM(), nil, plain)
	return errors.Join(err, sealErr)
}
