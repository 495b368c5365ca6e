package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// The messages here are those of an indirect download: the eIM stands between the
// device and the SM-DP+. They have the tags of ES9+ and other members. What is
// signed or goes on to the eUICC or the SM-DP+ is kept whole, tag included, so
// that it is passed on exactly as it came.

const maxSignedObject = 32 << 10

// InitiateAuthenticationRequestEsipa is ESipa.InitiateAuthentication.
type InitiateAuthenticationRequestEsipa struct {
	Received
	Challenge        []byte        // 16 bytes, from the eUICC
	SMDPAddress      *string       // nil: the eIM knows it
	Info1            []byte        // EUICCInfo1, the whole BF20 object; nil: the eIM knows it
	EIMTransactionID TransactionID // of the package that started this; nil: none
}

func (*InitiateAuthenticationRequestEsipa) tag() bertlv.Tag { return 0xBF39 }
func (m *InitiateAuthenticationRequestEsipa) layout(c *coder) {
	c.octets(0x81, &m.Challenge, 16, 16)
	c.optText(0x83, &m.SMDPAddress, maxAddress)
	c.optRaw(0xBF20, &m.Info1, maxDeviceObject)
	c.eimTransaction(0x82, &m.EIMTransactionID)
}

// InitiateAuthenticationOKEsipa is the SM-DP+'s proof.
type InitiateAuthenticationOKEsipa struct {
	Received
	TransactionID     TransactionID // nil: it is in ServerSigned1
	ServerSigned1     []byte        // the whole 30 object
	ServerSignature1  []byte        // r and s, 64 bytes
	CIKeyID           []byte        // possibly cut short
	ServerCertificate []byte        // CERT.DPauth, DER
	MatchingID        *string       // nil: the device is to know it
	CtxParams1        *CtxParams1   // nil: the device is to make it
}

func (m *InitiateAuthenticationOKEsipa) layout(c *coder) {
	c.eimTransaction(0x80, &m.TransactionID)
	c.raw(tagSequence, &m.ServerSigned1, maxSignedObject)
	c.signature(&m.ServerSignature1)
	c.octets(tagOctets, &m.CIKeyID, 1, maxKeyID)
	c.certificate(&m.ServerCertificate)
	c.optText(tagText, &m.MatchingID, 255)
	if !c.absent(0xA2, m.CtxParams1 == nil) {
		c.within(0xA2, func(c *coder) {
			optional(c, tagCtxParams1, &m.CtxParams1)
			c.choose(m.CtxParams1 != nil)
		})
	}
}

// InitiateAuthenticationResponseEsipa is the eIM's answer: one of the two.
type InitiateAuthenticationResponseEsipa struct {
	Received
	OK    *InitiateAuthenticationOKEsipa
	Error *InitiateAuthenticationErrorEsipa
}

func (*InitiateAuthenticationResponseEsipa) tag() bertlv.Tag { return 0xBF39 }
func (m *InitiateAuthenticationResponseEsipa) layout(c *coder) {
	optional(c, 0xA0, &m.OK)
	optCode(c, 0x81, &m.Error)
	c.choose(m.OK != nil, m.Error != nil)
}

// AuthenticateClientRequestEsipa is ESipa.AuthenticateClient.
type AuthenticateClientRequestEsipa struct {
	Received
	TransactionID TransactionID
	Response      []byte // AuthenticateServerResponse, the whole BF38 object
}

func (*AuthenticateClientRequestEsipa) tag() bertlv.Tag { return 0xBF3B }
func (m *AuthenticateClientRequestEsipa) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	c.rawFull(0xBF38, &m.Response, MaxMessage)
}

// AuthenticateClientOKDPEsipa is what a download starts with.
type AuthenticateClientOKDPEsipa struct {
	Received
	TransactionID   TransactionID // nil: it is in SMDPSigned2
	Metadata        []byte        // StoreMetadataRequest, the whole BF25 object; nil: the eIM has looked at it
	SMDPSigned2     []byte        // the whole 30 object
	SMDPSignature2  []byte        // r and s, 64 bytes
	SMDPCertificate []byte        // CERT.DPpb, DER
	HashCC          []byte        // 32 bytes, see HashCC; nil: no confirmation code
}

func (m *AuthenticateClientOKDPEsipa) layout(c *coder) {
	c.eimTransaction(0x80, &m.TransactionID)
	c.optRaw(0xBF25, &m.Metadata, maxSignedObject)
	c.raw(tagSequence, &m.SMDPSigned2, maxSignedObject)
	c.signature(&m.SMDPSignature2)
	c.certificate(&m.SMDPCertificate)
	c.optOctets(tagOctets, &m.HashCC, 32, 32)
}

// AuthenticateClientOKDSEsipa is a discovery server's answer.
type AuthenticateClientOKDSEsipa struct {
	Received
	TransactionID TransactionID
	Trigger       *ProfileDownloadTriggerRequest // nil: no event
}

func (m *AuthenticateClientOKDSEsipa) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	optional(c, 0xBF54, &m.Trigger)
}

// AuthenticateClientResponseEsipa is the eIM's answer: exactly one of them.
type AuthenticateClientResponseEsipa struct {
	Received
	DP    *AuthenticateClientOKDPEsipa
	DS    *AuthenticateClientOKDSEsipa
	Error *AuthenticateClientErrorEsipa
}

func (*AuthenticateClientResponseEsipa) tag() bertlv.Tag { return 0xBF3B }
func (m *AuthenticateClientResponseEsipa) layout(c *coder) {
	optional(c, 0xA0, &m.DP)
	optional(c, 0xA1, &m.DS)
	optCode(c, 0x82, &m.Error)
	c.choose(m.DP != nil, m.DS != nil, m.Error != nil)
}

// GetBoundProfilePackageRequestEsipa is ESipa.GetBoundProfilePackage.
type GetBoundProfilePackageRequestEsipa struct {
	Received
	TransactionID TransactionID
	Response      []byte // PrepareDownloadResponse, the whole BF21 object
}

func (*GetBoundProfilePackageRequestEsipa) tag() bertlv.Tag { return 0xBF3A }
func (m *GetBoundProfilePackageRequestEsipa) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	c.rawFull(0xBF21, &m.Response, MaxMessage)
}

// GetBoundProfilePackageOKEsipa has the package.
type GetBoundProfilePackageOKEsipa struct {
	Received
	TransactionID TransactionID // nil: it is in Package
	Package       []byte        // BoundProfilePackage, the whole BF36 object
}

func (m *GetBoundProfilePackageOKEsipa) layout(c *coder) {
	c.eimTransaction(0x80, &m.TransactionID)
	c.raw(0xBF36, &m.Package, MaxPackage)
}

// GetBoundProfilePackageResponseEsipa is the eIM's answer: one of the two.
type GetBoundProfilePackageResponseEsipa struct {
	Received
	OK    *GetBoundProfilePackageOKEsipa
	Error *GetBoundProfilePackageErrorEsipa
}

func (*GetBoundProfilePackageResponseEsipa) tag() bertlv.Tag { return 0xBF3A }
func (*GetBoundProfilePackageResponseEsipa) limit() int      { return MaxPackage }
func (m *GetBoundProfilePackageResponseEsipa) layout(c *coder) {
	optional(c, 0xA0, &m.OK)
	optCode(c, 0x81, &m.Error)
	c.choose(m.OK != nil, m.Error != nil)
}

// CancelSessionRequestEsipa is ESipa.CancelSession. ASN.1 wants the eUICC's answer
// without its own tag BF41; it is read with it, too, as on ES9+.
type CancelSessionRequestEsipa struct {
	Received
	TransactionID TransactionID
	Response      []byte // CancelSessionResponse, always the whole BF41 object
	WithTag       bool   // the tag BF41 is there on the wire
}

func (*CancelSessionRequestEsipa) tag() bertlv.Tag { return 0xBF41 }
func (m *CancelSessionRequestEsipa) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	if c.decoding {
		m.readAnswer(c)
		return
	}
	answer := c.retag(m.Response, 0xBF41, 0xA1)
	if m.WithTag && c.err == nil {
		answer = bertlv.Append(nil, 0xA1, m.Response)
	}
	c.notCompact(0xBF41, m.Response)
	c.raw(0xA1, &answer, MaxMessage)
}

func (m *CancelSessionRequestEsipa) readAnswer(c *coder) {
	t, ok := c.need(0xA1)
	if !ok {
		return
	}
	inner, rest, err := bertlv.Read(t.Value)
	if m.WithTag = err == nil && inner.Tag == 0xBF41 && len(rest) == 0; m.WithTag {
		m.Response = inner.Raw
	} else {
		m.Response = bertlv.Append(nil, 0xBF41, t.Value)
	}
	c.notCompact(0xBF41, m.Response)
}

// CancelSessionResponseEsipa says whether the session was cancelled: one of the
// two.
type CancelSessionResponseEsipa struct {
	Received
	OK    *Empty
	Error *CancelSessionError
}

func (*CancelSessionResponseEsipa) tag() bertlv.Tag { return 0xBF41 }
func (m *CancelSessionResponseEsipa) layout(c *coder) {
	optional(c, 0xA0, &m.OK)
	optCode(c, 0x81, &m.Error)
	c.choose(m.OK != nil, m.Error != nil)
}

// HandleNotificationEsipa is ESipa.HandleNotification: a notification for an
// SM-DP+, or a result for the eIM. There is no answer.
type HandleNotificationEsipa struct {
	Received
	Notification []byte // the whole BF37 or 30 object, see DecodePendingNotification; nil: Result is there
	Bare         bool   // the tag A0 around the notification is not there; version 1.0 did not write it out
	Result       *ProvideEIMPackageResult
}

func (*HandleNotificationEsipa) tag() bertlv.Tag { return 0xBF3D }
func (*HandleNotificationEsipa) limit() int      { return MaxPackage }
func (m *HandleNotificationEsipa) layout(c *coder) {
	optional(c, 0xBF50, &m.Result)
	if c.decoding && m.Result == nil {
		m.Bare = c.absent(0xA0, false)
	}
	switch {
	case m.Result != nil && m.Notification == nil:
	case m.Bare:
		m.notification(c)
	default:
		c.within(0xA0, m.notification)
	}
	c.choose(m.Notification != nil, m.Result != nil)
}

func (m *HandleNotificationEsipa) notification(c *coder) {
	c.refuseCompact(0xA0, 0xA1)
	b := m.Notification
	if c.decoding {
		b = c.rest
	}
	tag := bertlv.Tag(0xBF37)
	if len(b) > 0 && b[0] == byte(tagSequence) {
		tag = tagSequence
	}
	c.raw(tag, &m.Notification, MaxMessage)
}
