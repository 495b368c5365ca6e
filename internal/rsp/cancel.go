package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// CancelSessionRequest is ES10b.CancelSession (SGP.22 section 5.7.14).
type CancelSessionRequest struct {
	Received
	TransactionID TransactionID
	Reason        CancelReason
}

func (*CancelSessionRequest) tag() bertlv.Tag { return 0xBF41 }
func (m *CancelSessionRequest) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	code(c, 0x81, &m.Reason)
}

// CancelSessionResponse is the eUICC's answer: one of the two.
type CancelSessionResponse struct {
	Received
	OK    *CancelSessionOK
	Error *int // 5: no such transaction, 127: undefined
}

func (*CancelSessionResponse) tag() bertlv.Tag { return 0xBF41 }
func (m *CancelSessionResponse) layout(c *coder) {
	optional(c, 0xA0, &m.OK)
	optCode(c, 0x81, &m.Error)
	c.choose(m.OK != nil, m.Error != nil)
}

// CancelSessionOK is the eUICC's proof that the session is cancelled.
type CancelSessionOK struct {
	Received
	Signed    EUICCCancelSessionSigned
	Signature []byte // r and s, 64 bytes
}

func (m *CancelSessionOK) layout(c *coder) {
	nested(c, tagSequence, &m.Signed)
	c.signature(&m.Signature)
}

// EUICCCancelSessionSigned is the signed part of the proof.
type EUICCCancelSessionSigned struct {
	Received
	TransactionID TransactionID
	SMDPOID       OID // as in CERT.DPauth
	Reason        CancelReason
}

func (*EUICCCancelSessionSigned) tag() bertlv.Tag { return tagSequence }
func (m *EUICCCancelSessionSigned) layout(c *coder) {
	c.transaction(0x80, &m.TransactionID)
	c.oid(0x81, &m.SMDPOID)
	code(c, 0x82, &m.Reason)
}
