package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// SMDPSigned2 is what an SM-DP+ signs to start a download.
type SMDPSigned2 struct {
	Received
	TransactionID TransactionID
	CCRequired    bool   // a confirmation code is wanted
	EUICCOTPK     []byte // the eUICC's one-time key of an interrupted download; nil: none
}

func (*SMDPSigned2) tag() bertlv.Tag { return tagSequence }
func (m *SMDPSigned2) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	c.boolean(0x01, &m.CCRequired)
	c.optOctets(tagOneTime, &m.EUICCOTPK, pointSize, pointSize)
}

// PrepareDownloadRequest is ES10b.PrepareDownload (SGP.22 section 5.7.5).
type PrepareDownloadRequest struct {
	Received
	Signed2     SMDPSigned2
	Signature2  []byte // r and s, 64 bytes
	HashCC      []byte // 32 bytes, see HashCC; nil: no confirmation code
	Certificate []byte // CERT.DPpb, DER
}

func (*PrepareDownloadRequest) tag() bertlv.Tag { return 0xBF21 }
func (m *PrepareDownloadRequest) layout(c *coder) {
	nested(c, tagSequence, &m.Signed2)
	c.signature(&m.Signature2)
	c.optOctets(tagOctets, &m.HashCC, 32, 32)
	c.certificate(&m.Certificate)
}

// EUICCSigned2 is what an eUICC signs to have a profile bound to it.
type EUICCSigned2 struct {
	Received
	TransactionID TransactionID
	OTPK          []byte // one-time key: a point on P-256, 65 bytes
	HashCC        []byte // 32 bytes; nil: no confirmation code
}

func (*EUICCSigned2) tag() bertlv.Tag { return tagSequence }
func (m *EUICCSigned2) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	c.oneTimeKey(&m.OTPK)
	c.optOctets(tagOctets, &m.HashCC, 32, 32)
}

// PrepareDownloadResponse is the eUICC's answer: one of the two.
type PrepareDownloadResponse struct {
	Received
	OK    *PrepareDownloadOK
	Error *PrepareDownloadFailure
}

func (*PrepareDownloadResponse) tag() bertlv.Tag { return 0xBF21 }
func (m *PrepareDownloadResponse) layout(c *coder) {
	optional(c, 0xA0, &m.OK)
	optional(c, 0xA1, &m.Error)
	c.choose(m.OK != nil, m.Error != nil)
}

// PrepareDownloadOK is an eUICC's consent to a download.
type PrepareDownloadOK struct {
	Received
	Signed2    EUICCSigned2
	Signature2 []byte // r and s, 64 bytes
}

func (m *PrepareDownloadOK) layout(c *coder) {
	nested(c, tagSequence, &m.Signed2)
	c.signature(&m.Signature2)
}

// PrepareDownloadFailure says why an eUICC refuses a download.
type PrepareDownloadFailure struct {
	Received
	TransactionID TransactionID
	Code          DownloadError
}

func (m *PrepareDownloadFailure) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	code(c, tagInteger, &m.Code)
}
