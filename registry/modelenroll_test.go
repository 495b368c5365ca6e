package registry_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

const mEnroll = 3600 // seconds between two new keys of a device

// mKey is a key that was made on a card; keys are numbered from 1.
type mKey struct {
	Device  string // that has handed it in, or is claimed to have it; "" while nobody has
	Claimed bool
	Gone    bool // another has replaced it, or it was forgotten
	Filed   int64
}

// cardOf is the key of a device that is registered anew; 0 for none.
func (m *model) cardOf(id string) int {
	claimed, last := 0, 0
	for i, k := range m.Keys {
		if k.Device != id {
			continue
		}
		if k.Claimed {
			claimed = i + 1
		}
		if !k.Gone && (last == 0 || k.Filed > m.Keys[last-1].Filed) {
			last = i + 1
		}
	}
	switch {
	case claimed == 0:
		return 0
	case !m.Keys[claimed-1].Gone:
		return claimed
	}
	return last
}

// enroll is a device's own call, with the certificate of its nth profile.
func (m *model) enroll(id string, n, key int) string {
	d, k := m.get(id), m.Keys[key-1]
	switch {
	case d == nil || d.Profile != n || m.Profiles[id][n-1].Status == "failed":
		return "unauthentic"
	case d.held():
		return "state"
	case d.Card == key:
		return ""
	case k.Device != "" && k.Device != id:
		return "key-taken"
	case k.Gone:
		return "invalid"
	}
	if kind := changeable(d); kind != "" {
		return kind
	}
	if d.Enrolled != 0 && m.Now < d.Enrolled+mEnroll {
		return "state"
	}
	if k.Device == "" {
		k.Device, k.Filed = id, m.Now
	}
	for i, other := range m.Keys {
		if other != k && other.Device == id {
			m.Keys[i].Gone = true
		}
	}
	d.Card, d.Enrolled = key, m.Now
	m.note("enroll", id)
	m.tellAt(m.Now, "keyEnrolled", id, d.Sponsor, d.Owner)
	return ""
}

func (m *model) forget(id string, d *mDevice) verdict {
	if kind := changeable(d); kind != "" {
		return verdict{kind: kind}
	}
	if d.Card == 0 {
		return verdict{}
	}
	return verdict{do: func() {
		m.Keys[d.Card-1].Gone, d.Card = true, 0
		m.note("forget card key", id)
	}}
}

func (m *model) describeKeys(b *strings.Builder) {
	for i, k := range m.Keys {
		if k.Device != "" {
			fmt.Fprintln(b, "key", i+1, k.Device, k.Gone, k.Filed)
		}
	}
}

// carded files claims for devices whose cards have made their keys.
func (w *world) carded(numbers ...string) {
	for _, number := range numbers {
		key := w.newCardKey()
		id := w.claimed(number, w.cards[key-1])
		w.names = append(w.names, id.String())
		w.rows[id.String()] = registry.Row{ID: id}
		*w.m.Keys[key-1] = mKey{Device: id.String(), Claimed: true, Filed: w.seconds(w.clock())}
	}
}

func (w *world) newCardKey() int {
	w.cards = append(w.cards, signer(w.t))
	w.m.Keys = append(w.m.Keys, &mKey{})
	return len(w.cards)
}

// enroll has a device hand in a key: alone, in a process that dies, or while it is
// reset.
func (w *world) enroll() {
	var ids []string
	for _, id := range w.names {
		if len(w.m.Profiles[id]) > 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 || w.m.Fuzzy || w.zone.down {
		return
	}
	id := pick(w, ids...)
	n := len(w.m.Profiles[id])
	if w.chance(10) {
		n = 1 + w.rnd.IntN(n)
	}
	key := w.someKey(id)
	leaf, csr := w.leaf(eid.MustParse(id), n), csrOf(w.t, w.cards[key-1])
	before := w.m.clone()
	if w.chance(25) {
		w.enrollBeside(id, n, key, leaf, csr)
		return
	}
	kind := w.m.enroll(id, n, key)
	if w.chance(20) {
		dies := w.rnd.IntN(4)
		w.log("enroll %s profile %d key %d, and die after %d", id, n, key, dies)
		_, err := w.mortal(dies).Enroll(context.Background(), leaf, csr)
		require.True(w.t, err == nil || errors.Is(err, errCrash) || registry.Kind(err) == kind, "%v", err)
		w.choose([]*model{before, w.m})
		return
	}
	w.log("enroll %s profile %d key %d: %q", id, n, key, kind)
	done, err := w.reg.Enroll(context.Background(), leaf, csr)
	require.Equal(w.t, kind, registry.Kind(err), "%v", err)
	if err == nil {
		require.Equal(w.t, id, done.Device.String())
		require.Equal(w.t, w.m.Keys[key-1].Filed, w.seconds(done.Enrolled))
	}
}

// someKey is mostly a new one, or one that the device has or has had.
func (w *world) someKey(id string) int {
	var own []int
	for i, k := range w.m.Keys {
		if k.Device == id {
			own = append(own, i+1)
		}
	}
	switch {
	case len(own) > 0 && w.chance(40):
		return pick(w, own...)
	case w.chance(15):
		return 1 + w.rnd.IntN(len(w.cards))
	}
	return w.newCardKey()
}

// enrollBeside has a device enrol while its sponsor resets it. Whichever is first,
// the new profile has the key that the device has then.
func (w *world) enrollBeside(id string, n, key int, leaf *x509.Certificate, csr []byte) {
	d := w.m.get(id)
	if d == nil {
		return
	}
	reset := mCall{Op: "reset", Actor: registry.Actor{Account: d.Sponsor, Role: asp}, Items: []mItem{{Device: id}}}
	w.log("enroll %s profile %d key %d, and reset it at once", id, n, key)
	only, first, second := w.m.clone(), w.m.clone(), w.m.clone()
	only.enroll(id, n, key)
	first.enroll(id, n, key)
	first.call(reset, func() {})
	second.call(reset, func() {})
	second.enroll(id, n, key)
	var both sync.WaitGroup
	both.Go(func() { _, _ = w.with(func(*registry.Config) {}).Enroll(context.Background(), leaf, csr) })
	both.Go(func() { _, _ = w.do(w.with(func(*registry.Config) {}), reset) })
	both.Wait()
	w.choose([]*model{only, second, first})
}

// leaf is the certificate of the nth profile of a device.
func (w *world) leaf(id eid.ID, n int) *x509.Certificate {
	return w.issued(w.stored(id.String())[n-1].ID)
}

func (w *world) issued(profile uint64) *x509.Certificate {
	if w.certs[profile] == nil {
		require.NoError(w.t, w.store.View(context.Background(), func(tx registry.Tx) error {
			recs, err := tx.Get(context.Background(), registry.TableIssued, fmt.Sprintf("%020d", profile))
			if err != nil {
				return err
			}
			require.Len(w.t, recs, 1)
			var issued registry.Issued
			if err := json.Unmarshal(recs[0].Body, &issued); err != nil {
				return err
			}
			w.certs[profile], err = x509.ParseCertificate(issued.Certificate)
			return err
		}))
	}
	return w.certs[profile]
}

// cardNumber is the number of a card's key; 0 for one of the registry's.
func (w *world) cardNumber(spki []byte) int {
	for i, key := range w.cards {
		if len(spki) > 0 && string(spkiOf(w.t, key)) == string(spki) {
			return i + 1
		}
	}
	return 0
}

// certified is the number of the key in a profile's certificate.
func (w *world) certified(p registry.Profile) int {
	n := w.cardNumber(w.issued(p.ID).RawSubjectPublicKeyInfo)
	require.Equal(w.t, n > 0, p.KeyOnCard)
	return n
}

func (w *world) observeKeys(b *strings.Builder) {
	lines := map[string]string{}
	for _, rec := range (&moved{t: w.t, reg: w.reg}).table(registry.TableKeys, "") {
		var k struct{ Filed, Replaced time.Time }
		require.NoError(w.t, json.Unmarshal(rec.Body, &k))
		lines[rec.Key] = fmt.Sprintln(rec.Parent, !k.Replaced.IsZero(), w.seconds(k.Filed))
	}
	for i, key := range w.cards {
		sum := sha256.Sum256(spkiOf(w.t, key))
		if line := lines[hex.EncodeToString(sum[:])]; line != "" {
			fmt.Fprint(b, "key ", i+1, " ", line)
		}
	}
}
