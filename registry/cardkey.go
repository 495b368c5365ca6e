package registry

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"time"

	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/registry/eid"
)

// cardKey is what the registry knows of a key that was made on a card. Such a key
// is one device's for ever: a request names no device, so that one which somebody
// has seen could otherwise be filed for another.
type cardKey struct {
	CSR      []byte    `json:"csr"` // as it came
	Filed    time.Time `json:"filed"`
	Replaced time.Time `json:"replaced,omitzero"` // by a later one, or forgotten; then it does not come back

	device  string
	version uint64
}

func (k *cardKey) setVersion(v uint64) { k.version = v }

// fingerprint names a public key: the SHA-256 of its SubjectPublicKeyInfo in hex.
// It is the key's key in [TableKeys].
func fingerprint(spki []byte) string {
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}

func cardKeyRecord(fp string, device eid.ID, k *cardKey) Record {
	return Record{Key: fp, Parent: device.String(), Version: k.version, Body: encode(k)}
}

// cardKeys reads keys by their fingerprints, with whose they are.
func cardKeys(ctx context.Context, tx Tx, fps ...string) (map[string]*cardKey, error) {
	recs, err := tx.Get(ctx, TableKeys, fps...)
	return cardKeysOf(recs, err)
}

// cardKeysOfDevice reads the key fp and those of a device that it may replace: the
// one that the device has and the one that its maker has vouched for, which may have
// come late. A device without a key may have had others in an earlier life at the
// registry.
func cardKeysOfDevice(ctx context.Context, tx Tx, d *Device, fp string) (map[string]*cardKey, error) {
	fps := []string{fp}
	claim, err := getOne[Claim](ctx, tx, TableClaims, d.ID.String())
	if err != nil {
		return nil, err
	}
	if claim != nil && len(claim.CSR) > 0 {
		spki, err := parseCSR(claim.CSR, claim.Key)
		if err != nil {
			return nil, fmt.Errorf("registry: claim of %s is damaged: %w", d.ID, err)
		}
		fps = append(fps, fingerprint(spki))
	}
	out := map[string]*cardKey{}
	if len(d.CardKey) > 0 {
		fps = append(fps, fingerprint(d.CardKey))
	} else if out, err = cardKeysOf(tx.List(ctx, TableKeys, Query{Parent: d.ID.String()})); err != nil {
		return nil, err
	}
	more, err := cardKeys(ctx, tx, fps...)
	maps.Copy(out, more)
	return out, err
}

func cardKeysOf(recs []Record, err error) (map[string]*cardKey, error) {
	if err != nil {
		return nil, err
	}
	out := make(map[string]*cardKey, len(recs))
	for _, rec := range recs {
		k := &cardKey{device: rec.Parent, version: rec.Version}
		if err := decode(rec, k); err != nil {
			return nil, err
		}
		out[rec.Key] = k
	}
	return out, nil
}

// parseCSR returns the SubjectPublicKeyInfo of a request's key, in DER. sealing is
// the key that the device's profiles are sealed to, as text: a key that agrees on
// keys must not sign.
func parseCSR(csr []byte, sealing string) ([]byte, error) {
	pub, err := profile.ParseCSR(csr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if agreementText(pub) == sealing {
		return nil, fmt.Errorf("%w: the request is for the key that profiles are sealed to: have the card make one that only signs", ErrInvalid)
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return spki, nil
}

// agreementText is how a signing key would read as one for key agreement.
func agreementText(pub crypto.PublicKey) string {
	ec, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return ""
	}
	key, err := ec.ECDH()
	if err != nil {
		return ""
	}
	sealing, err := hpke.NewDHKEMPublicKey(key)
	if err != nil {
		return ""
	}
	return profile.FormatPublicKey(sealing)
}

// errOthersKey hides whose key it is.
var errOthersKey = fmt.Errorf("%w: have the card make a key of its own", ErrKeyTaken)

// newestCardKeys returns, by device, the keys that devices which are registered
// have on their cards: those that makers have vouched for or, where a device has
// replaced its own in an earlier life at the registry, what came last. A device
// that is left out gets keys from the registry, which always works.
func newestCardKeys(ctx context.Context, tx Tx, claims map[string]*Claim) (map[string][]byte, error) {
	out := map[string][]byte{}
	var fps []string
	for id, c := range claims {
		if len(c.CSR) == 0 {
			continue
		}
		spki, err := parseCSR(c.CSR, c.Key)
		if err != nil {
			return nil, fmt.Errorf("registry: claim of %s is damaged: %w", id, err)
		}
		out[id], fps = spki, append(fps, fingerprint(spki))
	}
	known, err := cardKeys(ctx, tx, fps...)
	for _, k := range known {
		if err == nil && !k.Replaced.IsZero() {
			out[k.device], err = lastCardKey(ctx, tx, claims[k.device])
		}
	}
	return out, err
}

// lastCardKey is the key of a device that came last, if no other has replaced it.
func lastCardKey(ctx context.Context, tx Tx, c *Claim) ([]byte, error) {
	all, err := cardKeysOf(tx.List(ctx, TableKeys, Query{Parent: c.Device.String()}))
	if err != nil {
		return nil, err
	}
	var last *cardKey
	for _, k := range all {
		if k.Replaced.IsZero() && (last == nil || k.Filed.After(last.Filed)) {
			last = k
		}
	}
	if last == nil {
		return nil, nil
	}
	return parseCSR(last.CSR, c.Key)
}

// signingKey returns the public key that a device's next profile certifies, and
// the private key in PKCS #8 DER, nil where the card has it. The caller clears it.
func signingKey(d *Device) (crypto.PublicKey, []byte, error) {
	if len(d.CardKey) > 0 {
		pub, err := x509.ParsePKIXPublicKey(d.CardKey)
		if err != nil {
			return nil, nil, fmt.Errorf("registry: card key of %s is damaged: %w", d.ID, err)
		}
		return pub, nil, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make device key: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode device key: %w", err)
	}
	return key.Public(), pkcs8, nil
}

// madeHere reports whether spki is the key of a certificate whose private key the
// registry has made itself.
func (p *Profile) madeHere(cert *x509.Certificate, spki []byte) bool {
	return !p.KeyOnCard && bytes.Equal(cert.RawSubjectPublicKeyInfo, spki)
}
