package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// InitiateAuthenticationRequest is ES9+.InitiateAuthentication (SGP.22 section
// 5.6.1) in the ASN.1 binding.
type InitiateAuthenticationRequest struct {
	Received
	Challenge   []byte // 16 bytes
	SMDPAddress string
	Info1       EUICCInfo1
}

func (*InitiateAuthenticationRequest) tag() bertlv.Tag { return 0xBF39 }
func (m *InitiateAuthenticationRequest) layout(c *coder) {
	c.octets(0x81, &m.Challenge, 16, 16)
	c.address(0x83, &m.SMDPAddress)
	nested(c, m.Info1.tag(), &m.Info1)
}

// InitiateAuthenticationOK is the server's proof.
type InitiateAuthenticationOK struct {
	Received
	TransactionID     TransactionID
	ServerSigned1     ServerSigned1
	ServerSignature1  []byte // r and s, 64 bytes
	CIKeyID           []byte
	ServerCertificate []byte // CERT.DPauth, DER
}

func (m *InitiateAuthenticationOK) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	nested(c, tagSequence, &m.ServerSigned1)
	c.signature(&m.ServerSignature1)
	c.octets(tagOctets, &m.CIKeyID, 1, maxKeyID)
	c.certificate(&m.ServerCertificate)
}

// InitiateAuthenticationResponse is the SM-DP+'s answer: one of the two.
type InitiateAuthenticationResponse struct {
	Received
	OK    *InitiateAuthenticationOK
	Error *InitiateAuthenticationError
}

func (*InitiateAuthenticationResponse) tag() bertlv.Tag { return 0xBF39 }
func (m *InitiateAuthenticationResponse) layout(c *coder) {
	optional(c, 0xA0, &m.OK)
	optCode(c, 0x81, &m.Error)
	c.choose(m.OK != nil, m.Error != nil)
}

// AuthenticateClientRequest is ES9+.AuthenticateClient (SGP.22 section 5.6.3).
type AuthenticateClientRequest struct {
	Received
	TransactionID TransactionID
	Response      AuthenticateServerResponse
}

func (*AuthenticateClientRequest) tag() bertlv.Tag { return 0xBF3B }
func (m *AuthenticateClientRequest) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	nested(c, m.Response.tag(), &m.Response)
}

// AuthenticateClientOK is what a download starts with.
type AuthenticateClientOK struct {
	Received
	TransactionID TransactionID
	Metadata      StoreMetadataRequest
	Prepare       PrepareDownloadRequest
}

func (m *AuthenticateClientOK) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	nested(c, m.Metadata.tag(), &m.Metadata)
	nested(c, m.Prepare.tag(), &m.Prepare)
}

// AuthenticateClientResponse is the SM-DP+'s answer: one of the two.
type AuthenticateClientResponse struct {
	Received
	OK    *AuthenticateClientOK
	Error *AuthenticateClientError
}

func (*AuthenticateClientResponse) tag() bertlv.Tag { return 0xBF3B }
func (m *AuthenticateClientResponse) layout(c *coder) {
	optional(c, 0xA0, &m.OK)
	optCode(c, 0x81, &m.Error)
	c.choose(m.OK != nil, m.Error != nil)
}

// GetBoundProfilePackageRequest is ES9+.GetBoundProfilePackage (SGP.22 section
// 5.6.2).
type GetBoundProfilePackageRequest struct {
	Received
	TransactionID TransactionID
	Response      PrepareDownloadResponse
}

func (*GetBoundProfilePackageRequest) tag() bertlv.Tag { return 0xBF3A }
func (m *GetBoundProfilePackageRequest) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	nested(c, m.Response.tag(), &m.Response)
}

// GetBoundProfilePackageOK has the package.
type GetBoundProfilePackageOK struct {
	Received
	TransactionID TransactionID
	Package       BoundProfilePackage
}

func (m *GetBoundProfilePackageOK) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	nested(c, m.Package.tag(), &m.Package)
}

// GetBoundProfilePackageResponse is the SM-DP+'s answer: one of the two.
type GetBoundProfilePackageResponse struct {
	Received
	OK    *GetBoundProfilePackageOK
	Error *GetBoundProfilePackageError
}

func (*GetBoundProfilePackageResponse) tag() bertlv.Tag { return 0xBF3A }
func (*GetBoundProfilePackageResponse) limit() int      { return MaxPackage }
func (m *GetBoundProfilePackageResponse) layout(c *coder) {
	optional(c, 0xA0, &m.OK)
	optCode(c, 0x81, &m.Error)
	c.choose(m.OK != nil, m.Error != nil)
}

// CancelSessionES9Request is ES9+.CancelSession (SGP.22 section 5.6.4). Notes in
// later versions want the eUICC's answer with its tag BF41, and ASN.1 without;
// both are read. [M]
type CancelSessionES9Request struct {
	Received
	TransactionID TransactionID
	Response      CancelSessionResponse
	WithoutTag    bool // the answer's own tag BF41 is left out
}

func (*CancelSessionES9Request) tag() bertlv.Tag { return 0xBF41 }
func (m *CancelSessionES9Request) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	c.within(0xA1, func(c *coder) {
		if c.decoding {
			m.WithoutTag = c.absent(m.Response.tag(), false)
		}
		if m.WithoutTag {
			m.Response.layout(c)
		} else {
			nested(c, m.Response.tag(), &m.Response)
		}
	})
}

// CancelSessionES9Response says whether the session was cancelled: one of the
// two.
type CancelSessionES9Response struct {
	Received
	OK    *CancelSessionES9OK
	Error *CancelSessionError
}

func (*CancelSessionES9Response) tag() bertlv.Tag { return 0xBF41 }
func (m *CancelSessionES9Response) layout(c *coder) {
	optional(c, 0xA0, &m.OK)
	optCode(c, 0x81, &m.Error)
	c.choose(m.OK != nil, m.Error != nil)
}

// CancelSessionES9OK has no members yet.
type CancelSessionES9OK struct{ Received }

func (*CancelSessionES9OK) layout(*coder) {}

// HandleNotification is ES9+.HandleNotification (SGP.22 section 5.6.5).
type HandleNotification struct {
	Received
	Notification PendingNotification
}

func (*HandleNotification) tag() bertlv.Tag { return 0xBF3D }
func (m *HandleNotification) layout(c *coder) {
	c.within(0xA0, m.Notification.member)
}

// ES9Request is a request to an SM-DP+ in the ASN.1 binding (SGP.22 section
// 6.6): exactly one of them, in the wrapper A2.
type ES9Request struct {
	Received
	InitiateAuthentication *InitiateAuthenticationRequest
	AuthenticateClient     *AuthenticateClientRequest
	GetBoundProfilePackage *GetBoundProfilePackageRequest
	CancelSession          *CancelSessionES9Request
	HandleNotification     *HandleNotification
}

func (*ES9Request) tag() bertlv.Tag { return 0xA2 }
func (m *ES9Request) layout(c *coder) {
	optional(c, 0xBF39, &m.InitiateAuthentication)
	optional(c, 0xBF3B, &m.AuthenticateClient)
	optional(c, 0xBF3A, &m.GetBoundProfilePackage)
	optional(c, 0xBF41, &m.CancelSession)
	optional(c, 0xBF3D, &m.HandleNotification)
	c.choose(m.InitiateAuthentication != nil, m.AuthenticateClient != nil,
		m.GetBoundProfilePackage != nil, m.CancelSession != nil, m.HandleNotification != nil)
}

// ES9Response is an SM-DP+'s answer in the ASN.1 binding: exactly one of them, in
// the wrapper A2. Notifications have none.
type ES9Response struct {
	Received
	InitiateAuthentication *InitiateAuthenticationResponse
	AuthenticateClient     *AuthenticateClientResponse
	GetBoundProfilePackage *GetBoundProfilePackageResponse
	CancelSession          *CancelSessionES9Response
}

func (*ES9Response) tag() bertlv.Tag { return 0xA2 }
func (*ES9Response) limit() int      { return MaxPackage }
func (m *ES9Response) layout(c *coder) {
	optional(c, 0xBF39, &m.InitiateAuthentication)
	optional(c, 0xBF3B, &m.AuthenticateClient)
	optional(c, 0xBF3A, &m.GetBoundProfilePackage)
	optional(c, 0xBF41, &m.CancelSession)
	c.choose(m.InitiateAuthentication != nil, m.AuthenticateClient != nil,
		m.GetBoundProfilePackage != nil, m.CancelSession != nil)
}
