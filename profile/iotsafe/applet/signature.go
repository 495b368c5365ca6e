package applet

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"encoding"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"slices"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/iotsafe"

	_ "crypto/sha256" // the hashes of hashOf
	_ "crypto/sha512"
)

// maxText bounds what a session collects, in bytes.
const maxText = 64 << 10

// session is what an Init begins and updates go on with.
type session struct {
	init byte // instruction
	key  *object
	mode int
	hash crypto.Hash
	data []byte // what updates have brought
}

// init opens and closes sessions. Opening one over another begins anew, and
// closing one that has ended already is no error: clients do both.
func (a *Applet) init(ch *channel, c apdu.Command) apdu.Status {
	_, known := ch.sessions[c.P2]
	switch {
	case int(c.P2) >= a.cfg.Limits.Sessions, c.P1 != iotsafe.P1Open && c.P1 != iotsafe.P1Close:
		return apdu.WrongP1P2
	case c.P1 == iotsafe.P1Close:
		delete(ch.sessions, c.P2)
		return apdu.OK
	case !known && a.sessions() >= a.cfg.Limits.Sessions:
		return apdu.AdminDoneFailed // which also stands for "maximum capacity reached"
	}
	s, sw := a.open(c)
	if sw != apdu.OK {
		return sw
	}
	if ch.sessions == nil {
		ch.sessions = make(map[byte]*session)
	}
	ch.sessions[c.P2] = s
	return apdu.OK
}

func (a *Applet) sessions() (n int) {
	for i := range a.channels {
		n += len(a.channels[i].sessions)
	}
	return n
}

// open reads the data of an Init.
func (a *Applet) open(c apdu.Command) (*session, apdu.Status) {
	if c.INS == iotsafe.INSPutPublicKeyInit {
		key, sw := a.named(iotsafe.TagPublicKey, c)
		if sw == apdu.OK && key.access&AccessUpdate == 0 {
			sw = apdu.ConditionsNotMet
		}
		return &session{init: c.INS, key: key}, sw
	}
	kind := bertlv.Tag(iotsafe.TagPrivateKey)
	if c.INS == iotsafe.INSVerifySignatureInit {
		kind = iotsafe.TagPublicKey
	}
	idTag, labelTag := tagsOf(kind)
	f, sw := parse(c.Data, idTag, labelTag, iotsafe.TagMode, iotsafe.TagHashes, iotsafe.TagSignatures)
	if sw != apdu.OK {
		return nil, sw
	}
	s := &session{init: c.INS}
	if s.key, sw = a.find(kind, f); sw != apdu.OK {
		return nil, sw
	}
	if sw := s.key.use(CanSign); sw != apdu.OK {
		return nil, sw
	}
	return s, s.algorithms(f)
}

// algorithms reads what is to be done with the data of updates.
func (s *session) algorithms(f fields) apdu.Status {
	mode, hasMode := f.number(iotsafe.TagMode, 1)
	hash, ok := hashOf(f)
	algorithm, hasAlgorithm := f.number(iotsafe.TagSignatures, 1)
	if !hasMode || !ok || !hasAlgorithm || algorithm != iotsafe.ECDSA || mode < iotsafe.ModeFullText || mode > iotsafe.ModePad {
		return apdu.WrongData
	}
	s.mode, s.hash = mode, hash
	return apdu.OK
}

// hashOf reads an algorithm's number; some clients write it in one byte.
func hashOf(f fields) (crypto.Hash, bool) {
	n, ok := f.number(iotsafe.TagHashes, 2)
	switch n {
	case iotsafe.SHA256:
		return crypto.SHA256, ok
	case iotsafe.SHA384:
		return crypto.SHA384, ok
	case iotsafe.SHA512:
		return crypto.SHA512, ok
	}
	return 0, false
}

// goOn carries out an update: it collects data until the last, and does with them
// what the session is for. The session has ended then, or with an error.
func (a *Applet) goOn(ch *channel, c apdu.Command) ([]byte, apdu.Status) {
	if int(c.P2) >= a.cfg.Limits.Sessions || c.P1 != 0 && c.P1 != iotsafe.P1Last {
		return nil, apdu.WrongP1P2
	}
	s := ch.sessions[c.P2]
	if s == nil || s.init+1 != c.INS && (s.init != iotsafe.INSPutPublicKeyInit || c.INS != iotsafe.INSPutPublicKey) {
		return nil, apdu.ConditionsNotMet
	}
	if sw := a.still(s.key); sw != apdu.OK {
		if sw != apdu.AdminInProgress {
			delete(ch.sessions, c.P2)
		}
		return nil, sw
	}
	if len(s.data)+len(c.Data) > maxText {
		delete(ch.sessions, c.P2)
		return nil, apdu.NotEnoughMemory
	}
	s.data = append(s.data, c.Data...)
	if c.P1 != iotsafe.P1Last {
		return nil, apdu.OK
	}
	delete(ch.sessions, c.P2)
	switch c.INS {
	case iotsafe.INSPutPublicKey:
		return nil, a.putPublicKey(s)
	case iotsafe.INSVerifySignature:
		return nil, s.verify()
	}
	return a.sign(s)
}

// still says whether a session's key is what it was.
func (a *Applet) still(key *object) apdu.Status {
	if a.update != nil && slices.ContainsFunc(a.update.objects, key.same) {
		return apdu.AdminInProgress
	}
	if slices.Contains(a.objects, key) {
		return apdu.OK
	}
	if i := slices.IndexFunc(a.objects, key.same); i >= 0 {
		_, _ = a.noted(a.objects[i])
	}
	return apdu.AdminDoneFailed
}

func (a *Applet) putPublicKey(s *session) apdu.Status {
	key, sw := parsePublicData(s.data)
	if sw != apdu.OK {
		return sw
	}
	s.key.public, s.key.inactive = key, false
	a.changed++
	return apdu.OK
}

func (a *Applet) sign(s *session) ([]byte, apdu.Status) {
	if sw := s.key.use(CanSign); sw != apdu.OK {
		return nil, sw
	}
	f, digest, sw := s.digest()
	if sw != apdu.OK {
		return nil, sw
	}
	if s.mode == iotsafe.ModeFullText && s.key.usage == UsageTLS13 && !forTLS13(f.join(iotsafe.TagFullText)) {
		return nil, apdu.ConditionsNotMet
	}
	signature, err := s.key.signer.Sign(a.cfg.Random, digest, s.hash)
	if err != nil {
		return nil, apdu.Unknown
	}
	if !a.cfg.Quirks.DERSignatures {
		if signature, err = rawSignature(signature); err != nil {
			return nil, apdu.Unknown
		}
	}
	return a.signatureData(signature), apdu.OK
}

// signatureData writes tag, length and signature.
func (a *Applet) signatureData(signature []byte) []byte {
	head := []byte{iotsafe.TagSignature, 0, byte(len(signature))}
	switch a.cfg.Quirks.SignatureLength {
	case ShortLength:
		head = []byte{iotsafe.TagSignature, byte(len(signature))}
	case LongLength:
		head[1] = 0x81
	}
	return append(head, signature...)
}

// forTLS13 reports whether a text is what a client signs in TLS 1.3 (RFC 8446
// section 4.4.3).
func forTLS13(text []byte) bool {
	head := append(bytes.Repeat([]byte{0x20}, 64), "TLS 1.3, client CertificateVerify\x00"...)
	return bytes.HasPrefix(text, head)
}

func (s *session) verify() apdu.Status {
	if sw := s.key.use(CanSign); sw != apdu.OK {
		return sw
	}
	f, digest, sw := s.digest()
	if sw != apdu.OK {
		return sw
	}
	signature, ok := f.get(iotsafe.TagSignature)
	if !ok {
		return apdu.WrongData
	}
	if len(signature) == 2*coordinate {
		var err error
		if signature, err = derSignature(signature); err != nil {
			return apdu.WrongData
		}
	}
	if !ecdsa.VerifyASN1(s.key.public, digest, signature) {
		return apdu.SignatureMismatch
	}
	return apdu.OK
}

// digest hashes what the updates have brought, in the session's mode.
func (s *session) digest() (f fields, digest []byte, sw apdu.Status) {
	tags := []bertlv.Tag{iotsafe.TagFullText}
	switch s.mode {
	case iotsafe.ModeLastBlock:
		tags = []bertlv.Tag{iotsafe.TagLastBlock, iotsafe.TagMidState, iotsafe.TagCount}
	case iotsafe.ModePad:
		tags = []bertlv.Tag{iotsafe.TagHash}
	}
	if s.init == iotsafe.INSVerifySignatureInit {
		tags = append(tags, iotsafe.TagSignature)
	}
	if f, sw = parse(s.data, tags...); sw != apdu.OK {
		return nil, nil, sw
	}
	var ok bool
	switch s.mode {
	case iotsafe.ModeLastBlock:
		digest, ok = lastBlock(s.hash, f)
	case iotsafe.ModePad:
		digest, ok = f.get(iotsafe.TagHash)
		ok = ok && len(digest) == s.hash.Size()
	default:
		if _, ok = f.get(iotsafe.TagFullText); ok {
			h := s.hash.New()
			h.Write(f.join(iotsafe.TagFullText))
			digest = h.Sum(nil)
		}
	}
	if !ok {
		return nil, nil, apdu.WrongData
	}
	return f, digest, apdu.OK
}

// lastBlock goes on with a hash whose whole blocks others have done. What is left
// of the text has no padding and fewer bytes than two blocks.
func lastBlock(hash crypto.Hash, f fields) ([]byte, bool) {
	h := hash.New()
	text, hasText := f.get(iotsafe.TagLastBlock)
	middle, hasMiddle := f.get(iotsafe.TagMidState)
	count, hasCount := f.get(iotsafe.TagCount)
	if !hasText || !hasMiddle || !hasCount || len(count) != 4 || len(text) >= 2*h.BlockSize() {
		return nil, false
	}
	done := binary.BigEndian.Uint32(count)
	width := sha256State
	magic := "sha\x03"
	switch hash {
	case crypto.SHA384:
		width, magic = sha512State, "sha\x04"
	case crypto.SHA512:
		width, magic = sha512State, "sha\x07"
	}
	if done%uint32(h.BlockSize()) != 0 || len(middle) != width {
		return nil, false
	}
	// The form in which crypto/sha256 and crypto/sha512 keep a hash that is not
	// done: state, block begun, bytes so far. Later versions of Go read it too.
	state := append([]byte(magic), middle...)
	state = append(state, make([]byte, h.BlockSize())...)
	state = binary.BigEndian.AppendUint64(state, uint64(done))
	resumed, ok := h.(encoding.BinaryUnmarshaler)
	if !ok || resumed.UnmarshalBinary(state) != nil {
		return nil, false
	}
	h.Write(text)
	return h.Sum(nil), true
}

// Bytes of a hash's state between two blocks.
const (
	sha256State = 32
	sha512State = 64
)

// coordinate is the width of P-256's numbers in bytes.
const coordinate = 32

type ecdsaSignature struct{ R, S *big.Int }

// rawSignature turns ECDSA-Sig-Value into r and s.
func rawSignature(der []byte) ([]byte, error) {
	var v ecdsaSignature
	rest, err := asn1.Unmarshal(der, &v)
	if err != nil || len(rest) != 0 || v.R.Sign() <= 0 || v.S.Sign() <= 0 || v.R.BitLen() > 8*coordinate || v.S.BitLen() > 8*coordinate {
		return nil, errInternal
	}
	b := make([]byte, 2*coordinate)
	v.R.FillBytes(b[:coordinate])
	v.S.FillBytes(b[coordinate:])
	return b, nil
}

// derSignature is the reverse.
func derSignature(raw []byte) ([]byte, error) {
	r, s := new(big.Int).SetBytes(raw[:coordinate]), new(big.Int).SetBytes(raw[coordinate:])
	return asn1.Marshal(ecdsaSignature{r, s})
}
