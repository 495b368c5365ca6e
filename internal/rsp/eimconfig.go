package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// EIMIDType says what kind of name an eIM has.
type EIMIDType int

// The kinds of eIM ID.
const (
	EIMIDOID         EIMIDType = 1
	EIMIDFQDN        EIMIDType = 2
	EIMIDProprietary EIMIDType = 3
)

// EIMProtocols is a set of ways between a device and an eIM.
type EIMProtocols uint32

// The members of EIMProtocols. The device asks, or the eIM pushes.
const (
	EIMRetrieveHTTPS EIMProtocols = 1 << iota
	EIMRetrieveCoAPS
	EIMInjectHTTPS
	EIMInjectCoAPS
	EIMProprietaryProtocol
)

// EIMConfigurationData is what an eUICC keeps about an eIM (SGP.32 section
// 2.11.1.1.1). In an update, what is nil stays as it was.
type EIMConfigurationData struct {
	Received
	EIMID            string
	FQDN             *string // of the eIM, or of what stands before it
	IDType           *EIMIDType
	Counter          *int64  // to start from
	AssociationToken *int64  // or NewAssociationToken
	SigningKey       *EIMKey // checks packages
	TLSKey           *EIMKey // checks TLS and DTLS; a certificate may be the CA's
	Protocols        *EIMProtocols
	CIKeyID          []byte       // of the CI the eUICC is to sign under; nil: not told
	IndirectDownload bool         // the eIM fetches profiles for the device
	Proprietary      []VendorData // about proprietary protocols; nil: none
}

func (m *EIMConfigurationData) layout(c *coder) {
	member(c, 0x80, &m.EIMID, eimID())
	c.optText(0x81, &m.FQDN, maxAddress)
	optCode(c, 0x82, &m.IDType)
	c.optNumber(0x83, &m.Counter)
	maybe(c, 0x84, &m.AssociationToken, association())
	optionalKey(c, 0xA5, &m.SigningKey)
	optionalKey(c, 0xA6, &m.TLSKey)
	maybe(c, 0x87, &m.Protocols, namedBits[EIMProtocols]())
	c.optOctets(0x88, &m.CIKeyID, 1, maxKeyID)
	c.flag(0x89, &m.IndirectDownload)
	list(c, 0xAA, tagSequence, &m.Proprietary, maxVendorEntries, true)
}

// EIMKey is a key of an eIM: exactly one of them, each in DER.
type EIMKey struct {
	PublicKey   []byte // SubjectPublicKeyInfo
	Certificate []byte
	Untagged    []byte // either of the two, without the tag that tells which, as at least one public client sends it
}

func optionalKey(c *coder, tag bertlv.Tag, p **EIMKey) {
	if c.absent(tag, *p == nil) {
		return
	}
	if c.decoding {
		*p = &EIMKey{}
	}
	c.within(tag, (*p).members)
}

func (k *EIMKey) members(c *coder) {
	c.optCertificateAs(0xA0, &k.PublicKey)
	c.optCertificateAs(0xA1, &k.Certificate)
	c.optRaw(tagSequence, &k.Untagged, maxCertificate)
	c.choose(k.PublicKey != nil, k.Certificate != nil, k.Untagged != nil)
}

// MaxEIMs is how many eIMs a list may hold.
const MaxEIMs = 64

// AddInitialEIMRequest is ES10b.AddInitialEim: a device makes its eUICC's first
// eIMs known to it.
type AddInitialEIMRequest struct {
	Received
	EIMs []EIMConfigurationData
}

func (*AddInitialEIMRequest) tag() bertlv.Tag { return 0xBF57 }
func (m *AddInitialEIMRequest) layout(c *coder) {
	list(c, 0xA0, tagSequence, &m.EIMs, MaxEIMs, false)
}

// AddInitialEIMResponse has one entry for each eIM, or where that is nil an error.
type AddInitialEIMResponse struct {
	Received
	Added []AddedEIM
	Error *AddEIMError
}

func (*AddInitialEIMResponse) tag() bertlv.Tag { return 0xBF57 }
func (m *AddInitialEIMResponse) layout(c *coder) {
	choices(c, 0xA0, &m.Added, MaxEIMs, (*AddedEIM).member)
	optCode(c, 0x81, &m.Error)
	c.choose(m.Added != nil, m.Error != nil)
}

// AddedEIM is an eIM that was added.
type AddedEIM struct {
	AssociationToken *int64 // nil: none
}

func (m *AddedEIM) member(c *coder) {
	if c.absent(0x84, m.AssociationToken == nil) {
		var null []byte
		c.octets(0x05, &null, 0, 0)
		return
	}
	maybe(c, 0x84, &m.AssociationToken, association())
}

// GetEIMConfigurationDataRequest is ES10b.GetEimConfigurationData.
type GetEIMConfigurationDataRequest struct {
	Received
	EIMID *string // nil: all
}

func (*GetEIMConfigurationDataRequest) tag() bertlv.Tag { return 0xBF55 }
func (m *GetEIMConfigurationDataRequest) layout(c *coder) {
	if !c.absent(0xA0, m.EIMID == nil) {
		c.within(0xA0, func(c *coder) {
			maybe(c, 0x80, &m.EIMID, eimID())
			c.choose(m.EIMID != nil)
		})
	}
}

// GetEIMConfigurationDataResponse has the eIMs the eUICC knows.
type GetEIMConfigurationDataResponse struct {
	Received
	EIMs []EIMConfigurationData
}

func (*GetEIMConfigurationDataResponse) tag() bertlv.Tag { return 0xBF55 }
func (m *GetEIMConfigurationDataResponse) layout(c *coder) {
	list(c, 0xA0, tagSequence, &m.EIMs, MaxEIMs, false)
}
