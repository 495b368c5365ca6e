package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/iotregistry/sdk/internal/apdu"
	words "github.com/iotregistry/sdk/internal/iotsafe"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
)

type selftestFlags struct {
	reach
	quirks applet.Quirks
	json   bool
}

func selftestCommand() part {
	return part{
		name: "selftest", short: "say what a card can do, and whether it does it well",
		help: `Asks a card with an IoT SAFE applet what is in it, how it differs from others,
and has it sign, verify, agree on keys and draw random bytes. The profile is read
and checked as far as that needs no DNS. Container 4, which is for ephemeral keys,
gets a new one; nothing else changes. Without -at and -pcsc the card is a simulated
one in this process.

Exit status 1 means that a check failed. What the card does not have is skipped.`,
		setup: func(fs *flag.FlagSet) func(context.Context, *world) error {
			f := &selftestFlags{}
			f.register(fs)
			quirksFlag(fs, &f.quirks)
			fs.BoolVar(&f.json, "json", false, "print one JSON object")
			return f.run
		},
	}
}

// errFailed ends a self-test whose report says what failed.
var errFailed = errors.New("a check failed")

func (f *selftestFlags) run(ctx context.Context, w *world) error {
	if err := f.check(); err != nil {
		return usageError{err}
	}
	card, closer, err := f.card(ctx, w)
	if err != nil {
		return err
	}
	defer closer.Close()
	t := &selftest{card: card, now: w.clock(), sleep: w.pause, result: testResult{OK: true, Checks: []checkResult{}}}
	if !f.json {
		t.live = w.stdout
	}
	t.all(ctx)
	if f.json {
		if err := json.NewEncoder(w.stdout).Encode(t.result); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if !t.result.OK {
		return errFailed
	}
	return nil
}

func (f *selftestFlags) card(ctx context.Context, w *world) (iotsafe.Transport, io.Closer, error) {
	if f.set() {
		return f.open(ctx)
	}
	card, err := newDemo(f.quirks, w.clock()())
	return card, nothing{}, err
}

// testResult is what a self-test found.
type testResult struct {
	OK      bool           `json:"ok"`
	Quirks  string         `json:"quirks,omitempty"`
	Objects []objectResult `json:"objects,omitempty"`
	Checks  []checkResult  `json:"checks"`
}

type objectResult struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Size int    `json:"size,omitempty"`
}

type checkResult struct {
	Name   string `json:"name"`
	Result string `json:"result"` // PASS, FAIL or SKIP
	Text   string `json:"text"`
}

// selftest is one run over a card.
type selftest struct {
	card   iotsafe.Transport
	client *iotsafe.Client
	now    func() time.Time
	sleep  func(context.Context, time.Duration) error
	live   io.Writer // where lines are printed as they come; nil for JSON
	result testResult
}

// errSkip is why a check was not made.
type errSkip struct{ error }

func skipf(format string, args ...any) error { return errSkip{fmt.Errorf(format, args...)} }

// check makes one and notes what came of it.
func (t *selftest) check(name string, f func() (string, error)) bool {
	text, err := f()
	r := checkResult{Name: name, Result: "PASS", Text: shown(text)}
	switch {
	case errors.As(err, new(errSkip)):
		r.Result, r.Text = "SKIP", shown(err.Error())
	case err != nil:
		r.Result, r.Text = "FAIL", shown(err.Error())
		t.result.OK = false
	}
	t.result.Checks = append(t.result.Checks, r)
	if t.live != nil {
		fmt.Fprintf(t.live, "%s %-10s %s\n", r.Result, r.Name, r.Text)
	}
	return err == nil
}

// all makes the checks in an order in which each needs what came before.
func (t *selftest) all(ctx context.Context) {
	if t.check("applet", func() (string, error) { return t.open(ctx) }) {
		defer t.client.Close()
		t.check("objects", func() (string, error) { return t.objects(ctx) })
		t.check("random", func() (string, error) { return t.random(ctx) })
		t.check("signature", func() (string, error) { return t.signature(ctx) })
		t.check("verify", func() (string, error) { return t.verify(ctx) })
		t.check("ecdh", func() (string, error) { return t.agree(ctx) })
		t.check("profile", func() (string, error) { return t.profile(ctx) })
		t.result.Quirks = t.client.Quirks().String() // some show only when they are met
		if t.live != nil {
			fmt.Fprintf(t.live, "quirks: %s\n", t.result.Quirks)
		}
	}
	t.check("isd-r", func() (string, error) { return t.isdr(ctx) })
}

func (t *selftest) open(ctx context.Context) (string, error) {
	var err error
	t.client, err = iotsafe.Open(ctx, t.card, iotsafe.Options{Now: t.now, Sleep: t.sleep, Context: func() context.Context { return ctx }})
	if err != nil {
		return "", err
	}
	q := t.client.Quirks()
	return fmt.Sprintf("AID %X on channel %d", q.AID, q.Channel), nil
}

func (t *selftest) objects(ctx context.Context) (string, error) {
	list, err := t.client.Objects(ctx)
	if err != nil {
		return "", err
	}
	names := make([]string, 0, len(list))
	for i := range list {
		o := &list[i]
		t.result.Objects = append(t.result.Objects, objectResult{o.Kind.String(), o.Name().String(), o.Size})
		names = append(names, o.Kind.String()+" "+o.Name().String())
	}
	if len(list) == 0 {
		return "", skipf("the card lists none")
	}
	return fmt.Sprintf("%d: %s", len(list), strings.Join(names, ", ")), nil
}

// random draws twice; that they are not zeros is the client's check.
func (t *selftest) random(ctx context.Context) (string, error) {
	first, err := t.client.Random(ctx, 64)
	if err != nil {
		return "", err
	}
	second, err := t.client.Random(ctx, 64)
	if err != nil {
		return "", err
	}
	if bytes.Equal(first, second) {
		return "", iotsafe.ErrRandom
	}
	return "2 x 64 bytes, not the same", nil
}

// signed has the card's key sign a digest.
func (t *selftest) signed(ctx context.Context) (signer *iotsafe.Signer, digest, signature []byte, err error) {
	signer, err = t.client.Signer(ctx, iotsafe.Container(words.CIRAPrivateKey))
	if errors.Is(err, iotsafe.ErrNotFound) {
		return nil, nil, nil, skipf("there is no key in container %d", words.CIRAPrivateKey)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	sum := sha256.Sum256([]byte("a device's self-test"))
	signature, err = signer.SignContext(ctx, sum[:], crypto.SHA256)
	return signer, sum[:], signature, err
}

func (t *selftest) signature(ctx context.Context) (string, error) {
	signer, digest, signature, err := t.signed(ctx)
	if err != nil {
		return "", err
	}
	key, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(key, digest, signature) {
		return "", iotsafe.ErrSignature
	}
	return "ECDSA on " + key.Curve.Params().Name + " by the key in container 1, verified here", nil
}

// verify has the card judge a signature of its own, and one that was changed.
func (t *selftest) verify(ctx context.Context) (string, error) {
	signer, digest, signature, err := t.signed(ctx)
	if err != nil {
		return "", err
	}
	key, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok {
		return "", iotsafe.ErrSignature
	}
	if err := t.client.VerifyWith(ctx, key, digest, signature, crypto.SHA256); err != nil {
		return "", unable(err)
	}
	other := sha256.Sum256(digest)
	if err := t.client.VerifyWith(ctx, key, other[:], signature, crypto.SHA256); !errors.Is(err, iotsafe.ErrSignature) {
		return "", fmt.Errorf("the card takes a signature for one of something else: %w", errors.Join(iotsafe.ErrSignature, err))
	}
	return "the card knows a signature from a wrong one", nil
}

// unable makes what a card does not have into a reason to skip.
func unable(err error) error {
	var refused *iotsafe.StatusError
	if errors.Is(err, iotsafe.ErrNotFound) || errors.As(err, &refused) && (apdu.Status(refused.Status) == apdu.WrongINS || apdu.Status(refused.Status) == apdu.SecurityNotSatisfied) {
		return errSkip{err}
	}
	return err
}

// agree makes an ephemeral key on the card and compares the secret with ours.
func (t *selftest) agree(ctx context.Context) (string, error) {
	pair, err := t.client.GenerateKey(ctx, iotsafe.Container(words.CIRAEphemeral))
	if err != nil {
		return "", unable(err)
	}
	public, err := pair.Key.ECDH()
	if err != nil {
		return "", err
	}
	own, err := public.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	theirs, err := t.client.ECDH(ctx, pair.Private, own.PublicKey())
	if err != nil {
		return "", unable(err)
	}
	ours, err := own.ECDH(public)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(ours, theirs) {
		return "", errors.New("the card came to another secret")
	}
	return "a new key in " + pair.Private.String() + ", the same secret on both sides", nil
}

func (t *selftest) profile(ctx context.Context) (string, error) {
	p, err := t.client.Profile(ctx)
	if errors.Is(err, iotsafe.ErrNotFound) {
		return "", skipf("the registry has not put one in yet: %w", err)
	}
	if err != nil {
		return "", err
	}
	signed := "the endpoint is signed by the registry"
	if !p.EndpointSigned {
		signed = "the endpoint is NOT signed by the registry"
	}
	names := strings.Join(p.Leaf().DNSNames, ", ")
	return fmt.Sprintf("%s for %s, until %s; %s", names, p.Address(), p.Leaf().NotAfter.UTC().Format(time.DateOnly), signed), nil
}

// isdr asks the eUICC, which not every card is.
func (t *selftest) isdr(ctx context.Context) (string, error) {
	lpa := es9.LPA{Card: t.card}
	id, err := lpa.EID(ctx)
	var sw apdu.Status
	switch {
	case errors.As(err, &sw):
		return "", skipf("this is no eUICC: %w", err)
	case err != nil:
		return "", err
	}
	list, err := lpa.ListProfiles(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("EID %s, %d profiles", id, len(list)), nil
}
