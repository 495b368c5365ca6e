package applet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"io"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/iotsafe"
)

// command carries out a command of IoT.05. There are data on success only.
func (a *Applet) command(ch *channel, c apdu.Command) ([]byte, apdu.Status) {
	switch c.INS {
	case iotsafe.INSGetData:
		return a.getData(c)
	case iotsafe.INSReadFile:
		return a.readFile(c)
	case iotsafe.INSPutPublicKeyInit, iotsafe.INSComputeSignatureInit, iotsafe.INSVerifySignatureInit:
		return nil, a.init(ch, c)
	case iotsafe.INSPutPublicKey, iotsafe.INSComputeSignature, iotsafe.INSVerifySignature:
		return a.goOn(ch, c)
	case iotsafe.INSComputePRF:
		return a.computePRF(c)
	}
	simple := map[byte]func(apdu.Command) ([]byte, apdu.Status){
		iotsafe.INSGetRandom: a.getRandom, iotsafe.INSReadPublicKey: a.readPublicKey,
		iotsafe.INSGenerateKeyPair: a.generateKeyPair, iotsafe.INSComputeDH: a.computeDH, iotsafe.INSComputeHKDF: a.computeHKDF,
	}
	run, ok := simple[c.INS]
	switch {
	case !ok:
		return nil, apdu.WrongINS
	case c.P1 != 0 || c.P2 != 0:
		return nil, apdu.WrongP1P2
	}
	return run(c)
}

// getRandom answers as many bytes as Le says, up to 256.
func (a *Applet) getRandom(c apdu.Command) ([]byte, apdu.Status) {
	if len(c.Data) != 0 || c.Le == 0 || c.Le > 256 {
		return nil, apdu.WrongLength
	}
	b := make([]byte, c.Le)
	if !a.cfg.Quirks.ShortRandom || c.Le < 128 {
		if _, err := io.ReadFull(a.cfg.Random, b); err != nil {
			return nil, apdu.Unknown
		}
	}
	if a.cfg.Quirks.RandomWarning {
		return b, apdu.MoreData
	}
	return b, apdu.OK
}

// getData tells of the application, all objects or one.
func (a *Applet) getData(c apdu.Command) ([]byte, apdu.Status) {
	kind := bertlv.Tag(c.P1)
	switch {
	case a.cfg.Quirks.NoGetData:
		return nil, apdu.WrongINS
	case c.P2 != 0:
		return nil, apdu.WrongP1P2
	}
	switch c.P1 {
	case iotsafe.DataApplication, iotsafe.DataObjects:
		if len(c.Data) != 0 {
			return nil, apdu.WrongLength
		}
		if c.P1 == iotsafe.DataApplication {
			return a.application(), apdu.OK
		}
		return a.list(), apdu.OK
	case iotsafe.DataPrivateKey, iotsafe.DataPublicKey, iotsafe.DataFile, iotsafe.DataSecret:
		o, sw := a.named(kind, c)
		if sw != apdu.OK {
			return nil, sw
		}
		return o.describe(), apdu.OK
	}
	return nil, apdu.WrongP1P2
}

// What application says of algorithms.
const (
	appletVersion = 1
	agreeECKA     = 0x01
	derivePRF     = 0x01
	deriveHKDF    = 0x02

	tagKeyAgreement = 0x6F // of a key; TagAgreements is the application's
)

const allHashes = iotsafe.SHA256 | iotsafe.SHA384 | iotsafe.SHA512

// application has 68 bytes, as clients ask for.
func (a *Applet) application() []byte {
	id, hashes := make([]byte, 32), []byte{0, allHashes}
	copy(id, "iotregistry.ca IoT SAFE")
	b := append(tlvByte(iotsafe.TagVersion, appletVersion), tlv(iotsafe.TagAppletID, id)...)
	if a.cfg.Quirks.WrongGetData {
		b, hashes = b[:len(b)-1], hashes[1:]
	}
	limits := a.cfg.Limits
	for _, f := range []struct {
		tag   bertlv.Tag
		value []byte
	}{
		{iotsafe.TagMaxFiles, []byte{byte(limits.Files)}},
		{iotsafe.TagMaxPrivateKeys, []byte{byte(limits.PrivateKeys)}},
		{iotsafe.TagMaxPublicKeys, []byte{byte(limits.PublicKeys)}},
		{iotsafe.TagMaxSecrets, []byte{byte(limits.Secrets)}},
		{iotsafe.TagFunctions, []byte{iotsafe.FunctionSign | iotsafe.FunctionGenerate | iotsafe.FunctionAgree | iotsafe.FunctionDerive}},
		{iotsafe.TagHashes, hashes},
		{iotsafe.TagSignatures, []byte{iotsafe.ECDSA}},
		{iotsafe.TagAgreements, []byte{agreeECKA}},
		{iotsafe.TagDerivations, []byte{derivePRF | deriveHKDF}},
		{iotsafe.TagMaxSessions, []byte{byte(limits.Sessions)}},
	} {
		b = append(b, tlv(f.tag, f.value)...)
	}
	return b
}

// list describes all objects by kind, in the order that Orange's client reads.
func (a *Applet) list() (b []byte) {
	for _, kind := range []bertlv.Tag{iotsafe.TagPrivateKey, iotsafe.TagPublicKey, iotsafe.TagSecret, iotsafe.TagFile} {
		for _, o := range a.objects {
			if o.kind == kind {
				b = append(b, o.describe()...)
			}
		}
	}
	return b
}

// describe gives the fields in the order that Orange's client demands; others
// look for them by tag.
func (o *object) describe() []byte {
	idTag, labelTag := tagsOf(o.kind)
	var b []byte
	if o.label != "" {
		b = tlv(labelTag, []byte(o.label))
	}
	b = append(b, tlv(idTag, o.id)...)
	b = append(b, tlvByte(iotsafe.TagAccess, byte(o.access))...)
	b = append(b, tlvByte(iotsafe.TagState, o.state())...)
	switch o.kind {
	case iotsafe.TagFile:
		b = append(b, tlv(iotsafe.TagFileSize, []byte{byte(o.size >> 8), byte(o.size)})...)
		b = append(b, tlvByte(iotsafe.TagFileUsage, byte(o.usage))...)
	case iotsafe.TagSecret:
		b = append(b, tlvByte(iotsafe.TagKeyType, iotsafe.KeyHMAC)...)
		b = append(b, tlvByte(iotsafe.TagKeyFunction, byte(o.functions))...)
		b = append(b, tlvByte(iotsafe.TagDerivations, derivePRF|deriveHKDF)...)
	default:
		b = append(b, tlvByte(iotsafe.TagKeyType, o.keyType())...)
		b = append(b, tlvByte(iotsafe.TagKeyUsage, byte(o.usage))...)
		b = append(b, tlvByte(iotsafe.TagKeyFunction, byte(o.functions))...)
		b = append(b, tlvByte(iotsafe.TagSignatures, iotsafe.ECDSA)...)
		b = append(b, tlv(iotsafe.TagHashes, []byte{0, allHashes})...)
		b = append(b, tlvByte(tagKeyAgreement, agreeECKA)...)
	}
	return tlv(o.kind, b)
}

// readFile reads from the offset in P1 and P2.
func (a *Applet) readFile(c apdu.Command) ([]byte, apdu.Status) {
	o, sw := a.named(iotsafe.TagFile, c)
	if sw != apdu.OK {
		return nil, sw
	}
	if o.state() != iotsafe.StateActive || o.access&AccessRead == 0 {
		return nil, apdu.ConditionsNotMet
	}
	want := a.cfg.Quirks.Chunk
	if c.Le > 0 {
		want = min(want, c.Le)
	}
	offset := int(c.P1)<<8 | int(c.P2)
	switch {
	case offset < o.size:
		return o.content(offset, want), apdu.OK
	case a.cfg.Quirks.End == EndRefused:
		return nil, apdu.WrongP1P2
	case a.cfg.Quirks.End == EndZeros:
		return make([]byte, want), apdu.OK
	}
	return nil, apdu.OK
}

func (a *Applet) readPublicKey(c apdu.Command) ([]byte, apdu.Status) {
	o, sw := a.named(iotsafe.TagPublicKey, c)
	if sw != apdu.OK {
		return nil, sw
	}
	if o.state() != iotsafe.StateActive || o.access&AccessRead == 0 {
		return nil, apdu.ConditionsNotMet
	}
	return publicData(o.public)
}

// publicData wraps a public key's point.
func publicData(key *ecdsa.PublicKey) ([]byte, apdu.Status) {
	point, err := key.Bytes()
	if err != nil {
		return nil, apdu.Unknown
	}
	return tlv(iotsafe.TagPublicData, tlv(iotsafe.TagECKey, tlv(iotsafe.TagECPoint, point))), apdu.OK
}

// parsePublicData is the reverse.
func parsePublicData(b []byte) (*ecdsa.PublicKey, apdu.Status) {
	for _, tag := range []bertlv.Tag{iotsafe.TagPublicData, iotsafe.TagECKey, iotsafe.TagECPoint} {
		t, rest, err := bertlv.Read(b)
		if err != nil || t.Tag != tag || len(rest) != 0 {
			return nil, apdu.WrongData
		}
		b = t.Value
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		return nil, apdu.WrongData
	}
	return key, apdu.OK
}

// generateKeyPair makes a key and the public key that goes with it.
func (a *Applet) generateKeyPair(c apdu.Command) ([]byte, apdu.Status) {
	o, sw := a.named(iotsafe.TagPrivateKey, c)
	if sw != apdu.OK {
		return nil, sw
	}
	if o.access&AccessUpdate == 0 {
		return nil, apdu.ConditionsNotMet
	}
	if o.functions&CanGenerate == 0 {
		return nil, apdu.CommandIncompatible
	}
	if sw := a.generate(o, a.cfg.Quirks.MovesKeys); sw != apdu.OK {
		return nil, sw
	}
	data, sw := publicData(o.public)
	b := append(tlv(iotsafe.TagPrivateKeyID, o.id), tlv(iotsafe.TagPublicKeyID, o.pair)...)
	return append(b, data...), sw
}

// named finds the object that a command's data name and nothing else.
func (a *Applet) named(kind bertlv.Tag, c apdu.Command) (*object, apdu.Status) {
	idTag, labelTag := tagsOf(kind)
	if len(c.Data) == 0 {
		return nil, apdu.WrongLength
	}
	f, sw := parse(c.Data, idTag, labelTag)
	if sw != apdu.OK {
		return nil, sw
	}
	return a.find(kind, f)
}

// find returns the object of a kind that fields name by ID, label or both.
func (a *Applet) find(kind bertlv.Tag, f fields) (*object, apdu.Status) {
	idTag, labelTag := tagsOf(kind)
	id, byID := f.get(idTag)
	label, byLabel := f.get(labelTag)
	switch {
	case !byID && !byLabel:
		return nil, apdu.WrongData
	case byID && !a.cfg.Quirks.goodID(id), byLabel && (len(label) == 0 || len(label) > iotsafe.MaxLabel):
		return nil, apdu.WrongData
	}
	match := func(o *object) bool {
		return o.kind == kind && (!byID || string(o.id) == string(id)) && (!byLabel || o.label == string(label))
	}
	if a.update != nil && a.update.touches(match) {
		return nil, apdu.AdminInProgress
	}
	for _, o := range a.objects {
		if match(o) {
			return a.noted(o)
		}
	}
	return nil, apdu.NotFound
}

// noted remembers to tell of an update that the object has had, once.
func (a *Applet) noted(o *object) (*object, apdu.Status) {
	if !o.updated {
		return o, apdu.OK
	}
	o.updated, a.told = false, append(a.told, o)
	a.changed++
	if a.cfg.Quirks.FailAfterUpdate {
		return nil, apdu.AdminDoneFailed
	}
	return o, apdu.OK
}
