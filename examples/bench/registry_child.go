package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es2"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/transfer"
)

// mortalCommand is this program run as a registry that its parent kills:
// bench mortal-registry FOLDER URL LIFE.
const mortalCommand = "mortal-registry"

// mortalReady is what it prints when it begins to work.
const mortalReady = "ready"

// mortalChunk is how many devices are one part of its job.
const mortalChunk = 100

// lifetime is by how much later than its predecessor each life takes it to be:
// what that one has claimed is free.
const lifetime = registry.DefaultLease + time.Second

// estate is what every life is given beside the database, in estate.json.
type estate struct {
	Birth         time.Time
	Issuer, Audit []byte // keys, PKCS #8
	Chain         [][]byte
	Devices       []eid.ID
	Codes         []string // in clear: these devices exist only here
}

func mortal(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) != 3 {
		fmt.Fprintf(stderr, "bench: want %s FOLDER URL LIFE\n", mortalCommand)
		return 2
	}
	if err := liveOut(ctx, args[0], args[1], args[2], stdout); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func readEstate(folder string) (*estate, error) {
	text, err := os.ReadFile(filepath.Join(folder, "estate.json"))
	if err != nil {
		return nil, err
	}
	e := &estate{}
	return e, json.Unmarshal(text, e)
}

// liveOut submits the transfer, again in every life but the first, works until
// nothing is left to do, and confirms every device.
func liveOut(ctx context.Context, folder, url, life string, stdout io.Writer) (err error) {
	number, err := strconv.Atoi(life)
	if err != nil {
		return err
	}
	e, err := readEstate(folder)
	if err != nil {
		return err
	}
	reg, closeStore, err := e.registry(ctx, folder, url, number)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	codes := make([]registry.AuthCode, len(e.Codes))
	for i, text := range e.Codes {
		if codes[i], err = registry.ParseAuthCode(text); err != nil {
			return err
		}
	}
	fmt.Fprintln(stdout, mortalReady)
	actor := carParkActor()
	actor.Key = "the fleet"
	if _, err := reg.Submit(ctx, actor, registry.Batch{Op: registry.OpTransfer}, withCodes(e.Devices, codes)); err != nil {
		return err
	}
	if _, err := reg.Resume(ctx, rootActor()); err != nil {
		return err
	}
	if _, err := reg.Work(ctx, rootActor()); err != nil {
		return err
	}
	if err := confirmAll(ctx, reg); err != nil {
		return err
	}
	_, err = reg.Resume(ctx, rootActor())
	return err
}

// registry opens the registry as it is in one of its lives.
func (e *estate) registry(ctx context.Context, folder, url string, life int) (*registry.Registry, func() error, error) {
	issuer, err1 := parseKey(e.Issuer)
	auditKey, err2 := parseKey(e.Audit)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	authority, err := profile.LoadAuthority(registryZone, e.Chain, issuer)
	if err != nil {
		return nil, nil, err
	}
	store, closeStore, err := openSQLite(ctx, filepath.Join(folder, "registry.db"))
	if err != nil {
		return nil, nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	reg, err := registry.New(registry.Config{
		Zone: registryZone, Store: store, Authority: authority, Publisher: remoteZone{client, url + zonePath}, AuditKey: auditKey,
		Operators: map[string]mno.Operator{telcoAccount: &es2.Client{BaseURL: url, HTTP: client, Requester: "registry"}},
		Batch:     mortalChunk,
		Now:       func() time.Time { return e.Birth.Add(time.Duration(life) * lifetime) },
	})
	if err != nil {
		return nil, nil, errors.Join(err, closeStore())
	}
	transfer.New(reg, transfer.Policy{})
	return reg, closeStore, nil
}

func parseKey(pkcs8 []byte) (*ecdsa.PrivateKey, error) {
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

// confirmAll has CarParkServ say of each device it has that it connected.
func confirmAll(ctx context.Context, reg *registry.Registry) error {
	var cs []registry.Confirmation
	for after := ""; ; {
		page, next, err := reg.Devices(ctx, carParkActor(), after, 0)
		if err != nil {
			return err
		}
		for _, d := range page {
			cs = append(cs, registry.Confirmation{Device: d.ID, ProfileID: d.Profile})
		}
		if after = next; next == "" {
			return allDone(reg.Confirm(ctx, carParkActor(), cs...))
		}
	}
}

const zonePath = "/zone"

// zoneChange is a change set on its way to the zone.
type zoneChange struct{ Add, Remove []string }

// remoteZone publishes to the zone that the parent process has.
type remoteZone struct {
	client *http.Client
	url    string
}

func (z remoteZone) Publish(ctx context.Context, c publish.ChangeSet) (publish.Receipt, error) {
	change := zoneChange{Remove: c.RemoveNames}
	for _, rr := range c.Add {
		change.Add = append(change.Add, rr.String())
	}
	body, err := json.Marshal(change)
	if err != nil {
		return publish.Receipt{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, z.url, bytes.NewReader(body))
	if err != nil {
		return publish.Receipt{}, err
	}
	resp, err := z.client.Do(req)
	if err != nil {
		return publish.Receipt{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return publish.Receipt{}, fmt.Errorf("the zone says %s", resp.Status)
	}
	return publish.Receipt{}, nil
}
