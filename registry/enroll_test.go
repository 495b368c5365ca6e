package registry_test

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/registry/eid"
)

func csrOf(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	require.NoError(t, err)
	return der
}

func spkiOf(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	return der
}

func printOf(t testing.TB, key crypto.Signer) string {
	sum := sha256.Sum256(spkiOf(t, key))
	return hex.EncodeToString(sum[:])
}

// leaf is the certificate of one of a device's profiles.
func (b *bench) leaf(id eid.ID, profileID uint64) *x509.Certificate {
	b.t.Helper()
	issued, err := b.reg.Issued(context.Background(), root, id, profileID)
	require.NoError(b.t, err)
	cert, err := x509.ParseCertificate(issued.Certificate)
	require.NoError(b.t, err)
	return cert
}

// current is the certificate of a device's current profile.
func (b *bench) current(id eid.ID) *x509.Certificate { return b.leaf(id, b.device(id).Profile) }

// opened is a device's current profile, as its card reads it.
func (b *bench) opened(id eid.ID) *profile.Profile {
	b.t.Helper()
	issued, err := b.reg.Issued(context.Background(), root, id, b.device(id).Profile)
	require.NoError(b.t, err)
	sealed, err := profile.ParseSealed(issued.Sealed)
	require.NoError(b.t, err)
	p, err := sealed.Open(b.keys[id], profile.OpenOptions{
		Device: id, Registry: zone, Trust: func([]*x509.Certificate) error { return nil },
	})
	require.NoError(b.t, err)
	return p
}

// withCard files a claim with a certificate request for a new device and brings it
// into service with ParkoServ.
func (b *bench) withCard(number string, card crypto.Signer) eid.ID {
	b.t.Helper()
	id := b.claimed(number, card)
	b.registered(id)
	b.ok(b.reg.Activate(context.Background(), parko, registry.Options{}, id))
	return id
}

func (b *bench) claimed(number string, card crypto.Signer) eid.ID {
	b.t.Helper()
	id := eid.MustParse(number)
	b.ok(b.reg.File(context.Background(), maker, []registry.Claim{{Device: id, Key: b.newKey(id), CSR: csrOf(b.t, card)}}))
	return id
}

func (b *bench) registered(id eid.ID) {
	b.t.Helper()
	b.ok(b.reg.Import(context.Background(), parko, registry.Import{Owner: city.Account, MNO: telco.Account, Rows: []registry.Row{{ID: id}}}))
}

// Where the maker's claim has a request, the registry never sees a private key:
// not at activation, not at a reset, not at a transfer.
func TestTheCardsOwnKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	card := signer(t)
	id := b.withCard("77", card)
	check := func(sponsor string) {
		t.Helper()
		p := b.opened(id)
		require.Empty(t, p.PrivateKey.Reveal())
		own, err := p.TLSCertificate(card)
		require.NoError(t, err, "the card's signer is the certificate's key")
		require.Equal(t, spkiOf(t, card), own.Leaf.RawSubjectPublicKeyInfo)
		profiles := b.profiles(id)
		last := profiles[len(profiles)-1]
		require.True(t, last.KeyOnCard)
		require.Equal(t, sponsor, last.Sponsor)
		require.Equal(t, spkiOf(t, card), b.device(id).CardKey)
	}
	check(parko.Account)
	b.ok(b.reg.Reset(t.Context(), parko, registry.Options{}, id))
	check(parko.Account)
	require.NoError(t, b.move(carPark, id, b.code(id)).Err)
	check(carPark.Account)

	entries := b.sealedEntries(id)
	require.Equal(t, printOf(t, card), entries["claim"].Detail["cardKey"])
	require.Equal(t, printOf(t, card), entries["activate"].Detail["cardKey"])
}

// sealedEntries are a device's audit entries, the last of each operation.
func (b *bench) sealedEntries(id eid.ID) map[string]audit.Entry {
	b.t.Helper()
	b.resume()
	lines, err := b.reg.Timeline(context.Background(), root, id, 0, 0)
	require.NoError(b.t, err)
	out := map[string]audit.Entry{}
	for _, l := range lines {
		e, err := audit.ParseEntry(l.Entry)
		require.NoError(b.t, err)
		out[e.Op] = e
	}
	return out
}

// A device whose keys the registry has made changes to its card's, and from that to
// the next: each time from the next profile on.
func TestEnroll(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	require.False(t, b.profiles(id)[0].KeyOnCard)
	require.NotEmpty(t, b.opened(id).PrivateKey.Reveal())
	first, second := signer(t), signer(t)

	done, err := b.reg.Enroll(t.Context(), b.current(id), csrOf(t, first))
	require.NoError(t, err)
	require.Equal(t, registry.Enrollment{Device: id, Profile: 11, Key: printOf(t, first), Enrolled: b.clock()}, done)
	require.NotEmpty(t, b.opened(id).PrivateKey.Reveal(), "the current profile stays as it is")
	require.Equal(t, uint64(11), b.device(id).Profile)

	revision := b.device(id).Revision()
	b.wait(time.Minute)
	again, err := b.reg.Enroll(t.Context(), b.current(id), csrOf(t, first))
	require.NoError(t, err)
	require.Equal(t, done, again, "the same key changes nothing, in whatever request")
	require.Equal(t, revision, b.device(id).Revision())

	b.ok(b.reg.Reset(t.Context(), parko, registry.Options{}, id))
	require.Empty(t, b.opened(id).PrivateKey.Reveal())
	require.Equal(t, spkiOf(t, first), b.current(id).RawSubjectPublicKeyInfo)
	require.Equal(t, []bool{false, true}, []bool{b.profiles(id)[0].KeyOnCard, b.profiles(id)[1].KeyOnCard})

	b.wait(time.Hour)
	_, err = b.reg.Enroll(t.Context(), b.current(id), csrOf(t, second))
	require.NoError(t, err)
	require.NoError(t, b.move(carPark, id, b.code(id)).Err)
	require.Equal(t, spkiOf(t, second), b.current(id).RawSubjectPublicKeyInfo, "the new provider's profile has the newest key")

	e := b.sealedEntries(id)["enroll"]
	require.Equal(t, "device", e.Role)
	require.Empty(t, e.Actor)
	require.Equal(t, map[string]string{"key": printOf(t, second), "before": printOf(t, first), "profile": "12"}, e.Detail)
	msgs, err := b.reg.Messages(t.Context(), parko, "", 0)
	require.NoError(t, err)
	var told []string
	for _, m := range msgs {
		if m.Type == registry.MessageKeyEnrolled {
			told = append(told, m.Detail["key"])
		}
	}
	require.Equal(t, []string{printOf(t, first), printOf(t, second)}, told, "the sponsor is to reset the device")
}

// Each way in which a certificate is not that of a device's current profile.
func TestWhoMayNotEnroll(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		leaf func(t *testing.T, b *bench, id eid.ID) *x509.Certificate
		want error
	}{
		"no certificate": {func(*testing.T, *bench, eid.ID) *x509.Certificate { return nil }, registry.ErrUnauthentic},
		"empty":          {func(*testing.T, *bench, eid.ID) *x509.Certificate { return &x509.Certificate{} }, registry.ErrUnauthentic},
		"superseded, within the overlap": {func(t *testing.T, b *bench, id eid.ID) *x509.Certificate {
			b.ok(b.reg.Reset(t.Context(), parko, registry.Options{}, id))
			return b.leaf(id, 11)
		}, registry.ErrUnauthentic},
		"withdrawn": {func(t *testing.T, b *bench, id eid.ID) *x509.Certificate {
			b.ok(b.reg.Reset(t.Context(), parko, registry.Options{}, id))
			b.ok(b.reg.Confirm(t.Context(), parko, registry.Confirmation{Device: id, ProfileID: b.device(id).Profile}))
			return b.leaf(id, 11)
		}, registry.ErrUnauthentic},
		"not published yet": {func(t *testing.T, b *bench, id eid.ID) *x509.Certificate {
			b.zone.set(true)
			_, err := b.reg.Reset(t.Context(), parko, registry.Options{}, id)
			require.ErrorIs(t, err, errDown)
			return b.current(id)
		}, registry.ErrUnauthentic},
		"the same name, key and issuer, but another certificate": {func(t *testing.T, b *bench, id eid.ID) *x509.Certificate {
			return b.alike(b.current(id))
		}, registry.ErrUnauthentic},
		"the issuer's own": {func(t *testing.T, b *bench, id eid.ID) *x509.Certificate {
			return b.reg.Authority.Issuer()
		}, registry.ErrUnauthentic},
		"not valid any more": {func(t *testing.T, b *bench, id eid.ID) *x509.Certificate {
			cert := b.current(id)
			b.wait(registry.DefaultValidity + time.Hour)
			return cert
		}, registry.ErrUnauthentic},
		"not valid yet": {func(t *testing.T, b *bench, id eid.ID) *x509.Certificate {
			cert := b.current(id)
			b.wait(-2 * time.Hour)
			return cert
		}, registry.ErrUnauthentic},
		"on hold": {func(t *testing.T, b *bench, id eid.ID) *x509.Certificate {
			require.NoError(t, b.setStatus(parko, add(registry.StatusClientHold), id))
			return b.current(id)
		}, registry.ErrState},
		"deleted": {func(t *testing.T, b *bench, id eid.ID) *x509.Certificate {
			cert := b.current(id)
			b.ok(b.reg.Delete(t.Context(), parko, registry.Options{}, id))
			return cert
		}, registry.ErrState},
		"update is prohibited": {func(t *testing.T, b *bench, id eid.ID) *x509.Certificate {
			require.NoError(t, b.setStatus(root, add(registry.StatusServerUpdateProhibited), id))
			return b.current(id)
		}, registry.ErrState},
		"a transfer is pending": {func(t *testing.T, b *bench, id eid.ID) *x509.Certificate {
			rs, err := b.reg.Move(t.Context(), carPark, []registry.Move{{Device: id, Code: b.code(id)}}, registry.MoveOptions{Wait: time.Hour})
			b.ok(rs, err)
			return b.current(id)
		}, registry.ErrPending},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			id := b.active(1)[0]
			cert := c.leaf(t, b, id)
			before := b.device(id)
			_, err := b.reg.Enroll(t.Context(), cert, csrOf(t, signer(t)))
			require.ErrorIs(t, err, c.want)
			require.Equal(t, before, b.device(id))
			require.Empty(t, (&moved{t: t, reg: b.reg}).table(registry.TableKeys, id.String()))
		})
	}
}

// alike is a certificate that says what cert says and was not issued for a profile.
func (b *bench) alike(cert *x509.Certificate) *x509.Certificate {
	b.t.Helper()
	der, err := b.reg.Authority.Issue(profile.Request{
		Name: cert.DNSNames[0], Device: eid.MustParse(cert.Subject.SerialNumber), PublicKey: cert.PublicKey, NotAfter: cert.NotAfter,
	})
	require.NoError(b.t, err)
	again, err := x509.ParseCertificate(der)
	require.NoError(b.t, err)
	return again
}

// Each way in which a request is no good. The device has enrolled the key old, and
// replaced it by the one it has.
func TestWhatCannotBeEnrolled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(2)
	id, old, other := ids[0], signer(t), signer(t)
	b.claimed("78", other)
	for _, key := range []crypto.Signer{old, signer(t)} {
		_, err := b.reg.Enroll(t.Context(), b.current(id), csrOf(t, key))
		require.NoError(t, err)
		b.wait(time.Hour)
	}
	theirs := signer(t)
	_, err := b.reg.Enroll(t.Context(), b.current(ids[1]), csrOf(t, theirs))
	require.NoError(t, err)
	forged := csrOf(t, signer(t))
	forged[len(forged)-1] ^= 1
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	key, err := x509.ParsePKCS8PrivateKey(b.opened(id).PrivateKey.Reveal())
	require.NoError(t, err)
	for name, c := range map[string]struct {
		csr  []byte
		want error
	}{
		"none":                      {nil, registry.ErrInvalid},
		"forged":                    {forged, profile.ErrCSR},
		"wrong curve":               {csrOf(t, p384), profile.ErrCSR},
		"too long":                  {make([]byte, profile.MaxCSR+1), profile.ErrCSR},
		"a key that was replaced":   {csrOf(t, old), registry.ErrInvalid},
		"another device's":          {csrOf(t, theirs), registry.ErrKeyTaken},
		"another device's claim":    {csrOf(t, other), registry.ErrKeyTaken},
		"one the registry has made": {csrOf(t, key.(crypto.Signer)), registry.ErrInvalid},
		"the key of the seal":       {csrOf(t, b.sealKey(id)), registry.ErrInvalid},
	} {
		before := b.device(id)
		_, err := b.reg.Enroll(t.Context(), b.current(id), c.csr)
		require.ErrorIs(t, err, c.want, name)
		require.NotEqual(t, "internal", registry.Kind(err), name)
		require.Equal(t, before, b.device(id), name)
	}
	_, err = b.reg.Enroll(t.Context(), b.current(id), csrOf(t, signer(t)))
	require.NoError(t, err, "nothing of that stands in the way of a good one")
	_, err = b.reg.Enroll(t.Context(), b.current(id), csrOf(t, signer(t)))
	require.ErrorIs(t, err, registry.ErrState, "one new key an hour")
	require.ErrorContains(t, err, b.clock().Add(time.Hour).Format(time.RFC3339))
}

// newKey makes an eUICC's key and returns its text.
func (b *bench) newKey(id eid.ID) string {
	b.t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(b.t, err)
	b.keys[id], err = hpke.NewDHKEMPrivateKey(key)
	require.NoError(b.t, err)
	return b.keyText(id)
}

func (b *bench) keyText(id eid.ID) string { return profile.FormatPublicKey(b.keys[id].PublicKey()) }

// sealKey is a device's key-agreement key, misused to sign.
func (b *bench) sealKey(id eid.ID) crypto.Signer {
	b.t.Helper()
	scalar, err := b.keys[id].Bytes()
	require.NoError(b.t, err)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	require.NoError(b.t, err)
	return key
}

// What a maker's claim may say of a card's key, and what it may not.
func TestClaimsOfCardKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	card, plain := signer(t), eid.MustParse("76")
	id := b.claimed("77", card)
	key, plainKey := b.keyText(id), b.newKey(plain)
	b.ok(b.reg.File(t.Context(), maker, []registry.Claim{{Device: plain, Key: plainKey}}))
	forged := csrOf(t, signer(t))
	forged[len(forged)-1] ^= 1
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	fresh := eid.MustParse("80")
	for _, c := range []struct {
		name  string
		claim registry.Claim
		want  error
	}{
		{"the same key in another request is the same claim", registry.Claim{Device: id, Key: key, CSR: csrOf(t, card)}, nil},
		{"one without a request says nothing against it", registry.Claim{Device: id, Key: key}, nil},
		{"another card key does not replace the first", registry.Claim{Device: id, Key: key, CSR: csrOf(t, signer(t))}, registry.ErrKeyMismatch},
		{"nor is one added to a claim without", registry.Claim{Device: plain, Key: plainKey, CSR: csrOf(t, signer(t))}, registry.ErrKeyMismatch},
		{"another device's", registry.Claim{Device: fresh, Key: b.newKey(fresh), CSR: csrOf(t, card)}, registry.ErrKeyTaken},
		{"forged", registry.Claim{Device: fresh, Key: b.newKey(fresh), CSR: forged}, registry.ErrInvalid},
		{"wrong curve", registry.Claim{Device: fresh, Key: b.newKey(fresh), CSR: csrOf(t, p384)}, profile.ErrCSR},
		{"too long", registry.Claim{Device: fresh, Key: b.newKey(fresh), CSR: make([]byte, profile.MaxCSR+1)}, profile.ErrCSR},
		{"the key of the seal", registry.Claim{Device: fresh, Key: b.newKey(fresh), CSR: csrOf(t, b.sealKey(fresh))}, registry.ErrInvalid},
	} {
		if c.claim.Device == fresh {
			c.claim.Key = b.keyText(fresh)
		}
		results, err := b.reg.File(t.Context(), maker, []registry.Claim{c.claim})
		require.NoError(t, err, c.name)
		require.ErrorIs(t, results[0].Err, c.want, c.name)
	}
	twice := signer(t)
	results, err := b.reg.File(t.Context(), maker, []registry.Claim{
		{Device: eid.MustParse("81"), Key: b.newKey(eid.MustParse("81")), CSR: csrOf(t, twice)},
		{Device: eid.MustParse("82"), Key: b.newKey(eid.MustParse("82")), CSR: csrOf(t, twice)},
	})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	require.ErrorIs(t, results[1].Err, registry.ErrKeyTaken, "of two in one list the first has it")

	b.registered(id)
	b.ok(b.reg.Activate(t.Context(), parko, registry.Options{}, id))
	require.Equal(t, spkiOf(t, card), b.current(id).RawSubjectPublicKeyInfo)
}

// A device that is registered anew goes on with the key that its card has now.
func TestRegisteredAnewKeepsTheNewestCardKey(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Redemption, c.PurgeAfter = time.Hour, time.Hour })
	second := signer(t)
	id := b.withCard("77", signer(t))
	_, err := b.reg.Enroll(t.Context(), b.current(id), csrOf(t, second))
	require.NoError(t, err)
	b.ok(b.reg.Delete(t.Context(), parko, registry.Options{}, id))
	b.wait(3 * time.Hour)
	b.resume()
	b.registered(id)
	require.Equal(t, spkiOf(t, second), b.device(id).CardKey)
}

// A card that has lost its key gets keys from the registry again, and may enrol a
// new one from there.
func TestForgetCardKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *registry.Config) { c.Redemption, c.PurgeAfter = time.Hour, time.Hour })
	lost, plain := signer(t), b.active(1)[0]
	id := b.withCard("77", lost)
	b.ok(b.reg.ForgetCardKeys(t.Context(), parko, registry.Options{}, id, plain))
	require.Empty(t, b.device(id).CardKey)
	b.ok(b.reg.ForgetCardKeys(t.Context(), parko, registry.Options{}, id)) // twice is no error
	_, err := b.reg.Enroll(t.Context(), b.current(id), csrOf(t, lost))
	require.ErrorIs(t, err, registry.ErrInvalid, "it does not come back")
	b.ok(b.reg.Reset(t.Context(), parko, registry.Options{}, id))
	require.NotEmpty(t, b.opened(id).PrivateKey.Reveal())
	require.Equal(t, printOf(t, lost), b.sealedEntries(id)["forget card key"].Subject)
	require.NotContains(t, b.sealedEntries(plain), "forget card key")
	_, err = b.reg.Enroll(t.Context(), b.current(id), csrOf(t, signer(t)))
	require.NoError(t, err)
	b.ok(b.reg.ForgetCardKeys(t.Context(), root, registry.Options{}, id))

	b.ok(b.reg.Delete(t.Context(), parko, registry.Options{}, id))
	b.wait(3 * time.Hour)
	b.resume()
	b.registered(id)
	require.Empty(t, b.device(id).CardKey, "nor when the device is registered anew")
}

// Of devices that enrol one key at the same moment, one has it.
func TestOneOfTwoHasTheKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ids := b.active(4)
	csr := csrOf(t, signer(t))
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		leaf := b.current(id)
		wg.Go(func() { _, errs[i] = b.reg.Enroll(context.Background(), leaf, csr) })
	}
	wg.Wait()
	refused := 0
	for _, err := range errs {
		if err != nil {
			require.ErrorIs(t, err, registry.ErrKeyTaken)
			refused++
		}
	}
	require.Equal(t, len(ids)-1, refused)
}

// Records of a registry that knew no card keys are read as what they were.
func TestOldRecordsHaveNoCardKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.active(1)[0]
	require.NoError(t, b.store.View(t.Context(), func(tx registry.Tx) error {
		for table, key := range map[registry.Table]string{
			registry.TableDevices: id.String(), registry.TableClaims: id.String(), registry.TableProfiles: "00000000000000000011",
		} {
			recs, err := tx.Get(t.Context(), table, key)
			require.NoError(t, err)
			require.Len(t, recs, 1)
			for _, member := range []string{"cardKey", "enrolled", "csr", "keyOnCard"} {
				require.NotContains(t, string(recs[0].Body), `"`+member+`"`, "the form is the one of before")
			}
		}
		return nil
	}))
	b.ok(b.reg.Reset(t.Context(), parko, registry.Options{}, id))
	require.NotEmpty(t, b.opened(id).PrivateKey.Reveal())
}

// FuzzEnroll: whatever a device hands in, it gets a key of its own or a refusal
// with a word for it.
func FuzzEnroll(f *testing.F) {
	b := newBench(f, func(c *registry.Config) { c.EnrollEvery = time.Millisecond })
	ids := b.active(2)
	other := signer(f)
	theirs := csrOf(f, other)
	_, err := b.reg.Enroll(context.Background(), b.current(ids[1]), theirs)
	require.NoError(f, err)
	taken := spkiOf(f, other)
	f.Add(csrOf(f, signer(f)))
	f.Add(theirs)
	f.Add([]byte(strings.Repeat("0", 300)))
	leaf := b.current(ids[0])
	f.Fuzz(func(t *testing.T, csr []byte) {
		b.wait(time.Millisecond)
		done, err := b.reg.Enroll(t.Context(), leaf, csr)
		if err != nil {
			require.NotEqual(t, "internal", registry.Kind(err))
			return
		}
		require.Equal(t, ids[0], done.Device)
		d, err := b.reg.Device(t.Context(), root, ids[0])
		require.NoError(t, err)
		sum := sha256.Sum256(d.CardKey)
		require.Equal(t, done.Key, hex.EncodeToString(sum[:]))
		require.NotEqual(t, taken, d.CardKey)
	})
}

// unclaimed registers a device that no maker has vouched for, and activates it.
func (b *bench) unclaimed(id eid.ID) {
	b.t.Helper()
	b.ok(b.reg.Import(context.Background(), parko, registry.Import{
		Owner: city.Account, MNO: telco.Account, Rows: []registry.Row{{ID: id, PublicKey: b.keyText(id)}},
	}))
	b.ok(b.reg.Activate(context.Background(), parko, registry.Options{}, id))
}

// reborn has a device deleted, forgotten and registered anew.
func (b *bench) reborn(id eid.ID) {
	b.t.Helper()
	b.ok(b.reg.Delete(context.Background(), parko, registry.Options{}, id))
	b.wait(3 * time.Hour)
	b.resume()
	b.unclaimed(id)
}

func (b *bench) enrolled(id eid.ID, key crypto.Signer) {
	b.t.Helper()
	_, err := b.reg.Enroll(context.Background(), b.current(id), csrOf(b.t, key))
	require.NoError(b.t, err)
}

// Of all keys that a device has had, in whatever life at the registry, only the last
// one is good: each other was replaced, though it was not the device's when that
// was done.
func TestOnlyTheLastKeyIsGood(t *testing.T) {
	t.Parallel()
	lives := func(c *registry.Config) { c.AllowUnclaimed, c.Redemption, c.PurgeAfter = true, time.Hour, time.Hour }
	id := eid.MustParse("77")
	t.Run("one of an earlier life", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, lives)
		b.newKey(id)
		b.unclaimed(id)
		first, second := signer(t), signer(t)
		b.enrolled(id, first)
		b.reborn(id)
		require.Empty(t, b.device(id).CardKey)
		b.enrolled(id, second)
		b.wait(time.Hour)
		_, err := b.reg.Enroll(t.Context(), b.current(id), csrOf(t, first))
		require.ErrorIs(t, err, registry.ErrInvalid)
	})
	t.Run("one that a maker has vouched for late", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, lives)
		key := b.newKey(id)
		b.unclaimed(id)
		vouched, last := signer(t), signer(t)
		b.enrolled(id, signer(t))
		b.ok(b.reg.File(t.Context(), maker, []registry.Claim{{Device: id, Key: key, CSR: csrOf(t, vouched)}}))
		b.wait(time.Hour)
		b.enrolled(id, last)
		for range 3 {
			b.reborn(id)
			require.Equal(t, spkiOf(t, last), b.device(id).CardKey)
			require.Equal(t, spkiOf(t, last), b.current(id).RawSubjectPublicKeyInfo)
		}
		_, err := b.reg.Enroll(t.Context(), b.current(id), csrOf(t, vouched))
		require.ErrorIs(t, err, registry.ErrInvalid)
	})
	t.Run("one that is forgotten", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, lives)
		key := b.newKey(id)
		b.unclaimed(id)
		vouched := signer(t)
		b.enrolled(id, signer(t))
		b.ok(b.reg.File(t.Context(), maker, []registry.Claim{{Device: id, Key: key, CSR: csrOf(t, vouched)}}))
		b.ok(b.reg.ForgetCardKeys(t.Context(), parko, registry.Options{}, id))
		b.reborn(id)
		require.Equal(t, spkiOf(t, vouched), b.device(id).CardKey, "the maker's word is about another key")
	})
}
