package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// ServerSigned1 is what an SM-DP+ signs to authenticate itself.
type ServerSigned1 struct {
	Received
	TransactionID   TransactionID
	EUICCChallenge  []byte // 16 bytes, from the eUICC
	ServerAddress   string
	ServerChallenge []byte // 16 bytes, from the server
}

func (*ServerSigned1) tag() bertlv.Tag { return tagSequence }
func (m *ServerSigned1) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	c.octets(0x81, &m.EUICCChallenge, 16, 16)
	c.address(0x83, &m.ServerAddress)
	c.octets(0x84, &m.ServerChallenge, 16, 16)
}

// DeviceInfo describes the device around an eUICC.
type DeviceInfo struct {
	Received
	TAC          []byte // type allocation code, 4 bytes
	Capabilities DeviceCapabilities
	IMEI         []byte // 8 bytes; nil: not told
}

func (m *DeviceInfo) layout(c *coder) {
	c.octets(0x80, &m.TAC, 4, 4)
	nested(c, 0xA1, &m.Capabilities)
	c.optOctets(0x82, &m.IMEI, 8, 8)
}

// DeviceCapabilities are the highest releases a device supports, 3 bytes each,
// nil for none. Later versions' members are in Extra.
type DeviceCapabilities struct {
	Received
	GSM, UTRAN, CDMA1X, HRPD, EHRPD, EUTRAN, Contactless, RSPCRL []byte
}

func (m *DeviceCapabilities) layout(c *coder) {
	for i, p := range []*[]byte{&m.GSM, &m.UTRAN, &m.CDMA1X, &m.HRPD, &m.EHRPD, &m.EUTRAN, &m.Contactless, &m.RSPCRL} {
		c.optOctets(0x80+bertlv.Tag(i), p, 3, 3)
	}
}

// CtxParams1 is the context of common authentication: which order the device
// comes for, and what it is.
type CtxParams1 struct {
	Received
	MatchingID *string // nil: none given
	Device     DeviceInfo
}

const tagCtxParams1 bertlv.Tag = 0xA0

func (*CtxParams1) tag() bertlv.Tag { return tagCtxParams1 }
func (m *CtxParams1) layout(c *coder) {
	c.optText(0x80, &m.MatchingID, 255)
	nested(c, 0xA1, &m.Device)
}

// AuthenticateServerRequest is ES10b.AuthenticateServer (SGP.22 section 5.7.13):
// the LPA passes the server's proof to the eUICC.
type AuthenticateServerRequest struct {
	Received
	ServerSigned1     ServerSigned1
	ServerSignature1  []byte // r and s, 64 bytes
	CIKeyID           []byte // subject key ID of the CI to be used
	ServerCertificate []byte // CERT.DPauth, DER
	CtxParams1        CtxParams1
}

func (*AuthenticateServerRequest) tag() bertlv.Tag { return 0xBF38 }
func (m *AuthenticateServerRequest) layout(c *coder) {
	nested(c, tagSequence, &m.ServerSigned1)
	c.signature(&m.ServerSignature1)
	c.octets(tagOctets, &m.CIKeyID, 1, maxKeyID)
	c.certificate(&m.ServerCertificate)
	nested(c, tagCtxParams1, &m.CtxParams1)
}

// EUICCSigned1 is what an eUICC signs to authenticate itself.
type EUICCSigned1 struct {
	Received
	TransactionID   TransactionID
	ServerAddress   string
	ServerChallenge []byte // 16 bytes
	Info2           EUICCInfo2
	CtxParams1      CtxParams1
}

func (*EUICCSigned1) tag() bertlv.Tag { return tagSequence }
func (m *EUICCSigned1) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	c.address(0x83, &m.ServerAddress)
	c.octets(0x84, &m.ServerChallenge, 16, 16)
	nested(c, m.Info2.tag(), &m.Info2)
	nested(c, tagCtxParams1, &m.CtxParams1)
}

// AuthenticateServerResponse is the eUICC's answer: one of the two.
type AuthenticateServerResponse struct {
	Received
	OK    *AuthenticateOK
	Error *AuthenticateFailure
}

func (*AuthenticateServerResponse) tag() bertlv.Tag { return 0xBF38 }
func (m *AuthenticateServerResponse) layout(c *coder) {
	optional(c, 0xA0, &m.OK)
	optional(c, 0xA1, &m.Error)
	c.choose(m.OK != nil, m.Error != nil)
}

// AuthenticateOK is the eUICC's proof.
type AuthenticateOK struct {
	Received
	Signed1          EUICCSigned1
	Signature1       []byte // r and s, 64 bytes
	EUICCCertificate []byte // CERT.EUICC, DER
	EUMCertificate   []byte // CERT.EUM, DER
}

func (m *AuthenticateOK) layout(c *coder) {
	nested(c, tagSequence, &m.Signed1)
	c.signature(&m.Signature1)
	c.certificate(&m.EUICCCertificate)
	c.certificate(&m.EUMCertificate)
}

// AuthenticateFailure says why an eUICC refuses a server.
type AuthenticateFailure struct {
	Received
	TransactionID TransactionID
	Code          AuthenticateError
}

func (m *AuthenticateFailure) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	code(c, tagInteger, &m.Code)
}
