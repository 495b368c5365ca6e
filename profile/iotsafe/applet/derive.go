package applet

import (
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
	"encoding/binary"
	"hash"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/iotsafe"
)

// computeDH answers the X coordinate of the shared point.
func (a *Applet) computeDH(c apdu.Command) ([]byte, apdu.Status) {
	f, sw := parse(c.Data, iotsafe.TagPrivateKeyID, iotsafe.TagPrivateKeyLabel, iotsafe.TagPublicKeyID, iotsafe.TagPublicKeyLabel)
	if sw != apdu.OK {
		return nil, sw
	}
	private, sw := a.find(iotsafe.TagPrivateKey, f)
	if sw != apdu.OK {
		return nil, sw
	}
	public, sw := a.find(iotsafe.TagPublicKey, f)
	if sw != apdu.OK {
		return nil, sw
	}
	for _, o := range []*object{private, public} {
		if sw := o.use(CanAgree); sw != apdu.OK {
			return nil, sw
		}
	}
	if private.exchanger == nil {
		return nil, apdu.CommandIncompatible
	}
	peer, err := public.public.ECDH()
	if err != nil {
		return nil, apdu.Unknown
	}
	shared, err := private.exchanger.ECDH(peer)
	if err != nil {
		return nil, apdu.Unknown
	}
	return shared, apdu.OK
}

// computePRF is the P_hash of TLS 1.2 (RFC 5246 section 5) with a secret of the
// store or of the command, or a premaster secret made of it.
func (a *Applet) computePRF(c apdu.Command) ([]byte, apdu.Status) {
	if c.P1 > iotsafe.PRFPSKECDHE || c.P2 != 0 {
		return nil, apdu.WrongP1P2
	}
	f, sw := parse(c.Data, iotsafe.TagSecretID, iotsafe.TagSecretLabel, iotsafe.TagSecretData, iotsafe.TagPremaster,
		iotsafe.TagSeed, iotsafe.TagOutLength, iotsafe.TagHashes)
	if sw != apdu.OK {
		return nil, sw
	}
	algorithm, ok := crypto.SHA256, true
	if _, given := f.get(iotsafe.TagHashes); given {
		algorithm, ok = hashOf(f)
	}
	seed, hasSeed := f.get(iotsafe.TagSeed)
	length, hasLength := f.number(iotsafe.TagOutLength, 1)
	if !ok || !hasSeed || !hasLength || length == 0 {
		return nil, apdu.WrongData
	}
	secret, sw := a.premaster(c.P1, f)
	if sw != apdu.OK {
		return nil, sw
	}
	return prf(algorithm, secret, seed, length), apdu.OK
}

// premaster returns the secret itself, or what RFC 4279 section 2 and RFC 5489
// section 2 make of a key that was shared before.
func (a *Applet) premaster(kind byte, f fields) ([]byte, apdu.Status) {
	other, agreed := f.get(iotsafe.TagPremaster)
	if agreed != (kind == iotsafe.PRFPSKECDHE) {
		return nil, apdu.WrongData
	}
	key, sw := a.secret(f)
	if sw != apdu.OK || kind == iotsafe.PRFGeneral {
		return key, sw
	}
	if kind == iotsafe.PRFPSK {
		other = make([]byte, len(key))
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(len(other)))
	b = append(b, other...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(key)))
	return append(b, key...), apdu.OK
}

// secret returns the one in the command, or else the one of the store that the
// command names.
func (a *Applet) secret(f fields) ([]byte, apdu.Status) {
	_, byID := f.get(iotsafe.TagSecretID)
	_, byLabel := f.get(iotsafe.TagSecretLabel)
	given, ok := f.get(iotsafe.TagSecretData)
	if ok == (byID || byLabel) { // none or two
		return nil, apdu.WrongData
	}
	if ok {
		return given, apdu.OK
	}
	o, sw := a.find(iotsafe.TagSecret, f)
	if sw != apdu.OK {
		return nil, sw
	}
	return o.data, o.use(CanDerive)
}

func prf(algorithm crypto.Hash, secret, seed []byte, length int) []byte {
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(algorithm.New, secret)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	var out []byte
	for a := mac(seed); len(out) < length; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:length]
}

// computeHKDF is HKDF-Extract (RFC 5869 section 2.2).
func (a *Applet) computeHKDF(c apdu.Command) ([]byte, apdu.Status) {
	f, sw := parse(c.Data, iotsafe.TagSecretID, iotsafe.TagSecretLabel, iotsafe.TagSecretData, iotsafe.TagSalt, iotsafe.TagHashes)
	if sw != apdu.OK {
		return nil, sw
	}
	algorithm, ok := hashOf(f)
	if !ok {
		return nil, apdu.WrongData
	}
	key, sw := a.secret(f)
	if sw != apdu.OK {
		return nil, sw
	}
	salt, _ := f.get(iotsafe.TagSalt)
	prk, err := hkdf.Extract(func() hash.Hash { return algorithm.New() }, key, salt)
	if err != nil {
		return nil, apdu.Unknown
	}
	return prk, apdu.OK
}
