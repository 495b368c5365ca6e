package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// EUICCPackageResult is what an eUICC has made of a package: exactly one of them.
type EUICCPackageResult struct {
	Received
	Signed   *EUICCPackageResultSigned
	Error    *EUICCPackageErrorSigned
	Unsigned *EUICCPackageErrorUnsigned // an error before the eUICC knew whether to sign
}

func (*EUICCPackageResult) tag() bertlv.Tag { return 0xBF51 }
func (m *EUICCPackageResult) layout(c *coder) {
	optional(c, 0xA0, &m.Signed)
	optional(c, 0xA1, &m.Error)
	optional(c, 0xA2, &m.Unsigned)
	c.choose(m.Signed != nil, m.Error != nil, m.Unsigned != nil)
}

// EUICCPackageResultSigned is a result and its signature.
type EUICCPackageResultSigned struct {
	Received
	Data      EUICCPackageResultData
	Signature []byte // euiccSignEPR: r and s, 64 bytes
}

func (m *EUICCPackageResultSigned) layout(c *coder) {
	nested(c, tagSequence, &m.Data)
	c.signature(&m.Signature)
}

// EUICCPackageResultData is the signed part: the outcome of each operation, in
// their order, up to the one where the eUICC stopped.
type EUICCPackageResultData struct {
	Received
	EIMID            string
	Counter          int64         // of the package
	EIMTransactionID TransactionID // of the package; nil: none
	SeqNumber        int64         // of the result, for its acknowledgement
	Results          []EUICCResultData
}

func (*EUICCPackageResultData) tag() bertlv.Tag { return tagSequence }
func (*EUICCPackageResultData) limit() int      { return MaxPackage }
func (m *EUICCPackageResultData) layout(c *coder) {
	member(c, 0x80, &m.EIMID, eimID())
	c.number(0x81, &m.Counter)
	c.eimTransaction(0x82, &m.EIMTransactionID)
	c.number(0x83, &m.SeqNumber)
	c.within(tagSequence, func(c *coder) {
		elements(c, &m.Results, maxOperations+1, (*EUICCResultData).member)
	})
}

// EUICCResultData is the outcome of one operation: exactly one of them.
type EUICCResultData struct {
	Enable     *ProfileResult
	Disable    *ProfileResult
	Delete     *ProfileResult
	List       *ProfileInfoListResponse
	AddEIM     *AddEIMResult
	DeleteEIM  *EIMResult
	UpdateEIM  *EIMResult
	ListEIM    *ListEIMResult
	Terminated *PackageTermination // no operation after it was tried
	Other      []byte              // an outcome not known here, a whole object
}

func (r *EUICCResultData) member(c *coder) {
	c.oneOf("result", &r.Other,
		codeChoice(c, 0x83, &r.Enable),
		codeChoice(c, 0x84, &r.Disable),
		codeChoice(c, 0x85, &r.Delete),
		nodeChoice(c, 0xBF2D, &r.List),
		nodeChoice(c, 0xA8, &r.AddEIM),
		codeChoice(c, 0x89, &r.DeleteEIM),
		codeChoice(c, 0x8A, &r.UpdateEIM),
		nodeChoice(c, 0xAB, &r.ListEIM),
		codeChoice(c, tagInteger, &r.Terminated),
	)
}

// AddEIMResult is the outcome of adding an eIM: one of the two.
type AddEIMResult struct {
	Received
	AssociationToken *int64 // it is added, and this is its token
	Code             *AddEIMError
}

func (m *AddEIMResult) layout(c *coder) {
	maybe(c, 0x84, &m.AssociationToken, association())
	optCode(c, tagInteger, &m.Code)
	c.choose(m.AssociationToken != nil, m.Code != nil)
}

// ListEIMResult has a list, or where that is nil an error.
type ListEIMResult struct {
	Received
	EIMs  []EIMIDInfo
	Error *int // 127 is the only one
}

func (m *ListEIMResult) layout(c *coder) {
	list(c, 0xA0, tagSequence, &m.EIMs, MaxEIMs, true)
	optCode(c, 0x81, &m.Error)
	c.choose(m.EIMs != nil, m.Error != nil)
}

// EIMIDInfo names an eIM that the eUICC knows.
type EIMIDInfo struct {
	Received
	EIMID  string
	IDType *EIMIDType // nil: not told
}

func (m *EIMIDInfo) layout(c *coder) {
	member(c, 0x80, &m.EIMID, eimID())
	optCode(c, 0x82, &m.IDType)
}

// EUICCPackageErrorSigned says why an eUICC has refused a package as a whole.
type EUICCPackageErrorSigned struct {
	Received
	Data      EUICCPackageErrorData
	Signature []byte // euiccSignEPE: r and s, 64 bytes
}

func (m *EUICCPackageErrorSigned) layout(c *coder) {
	nested(c, tagSequence, &m.Data)
	c.signature(&m.Signature)
}

// EUICCPackageErrorData is the signed part.
type EUICCPackageErrorData struct {
	Received
	EIMID            string
	Counter          int64         // of the package
	EIMTransactionID TransactionID // of the package; nil: none
	Code             EUICCPackageErrorCode
}

func (*EUICCPackageErrorData) tag() bertlv.Tag { return tagSequence }
func (m *EUICCPackageErrorData) layout(c *coder) {
	member(c, 0x80, &m.EIMID, eimID())
	c.number(0x81, &m.Counter)
	c.eimTransaction(0x82, &m.EIMTransactionID)
	code(c, tagInteger, &m.Code)
}

// EUICCPackageErrorUnsigned is an error that proves nothing: the eUICC does not
// know the eIM, or the signature of the package did not fit.
type EUICCPackageErrorUnsigned struct {
	Received
	EIMID            string
	EIMTransactionID TransactionID          // nil: none
	AssociationToken *int64                 // nil: not told
	Code             *EUICCPackageErrorCode // nil: not told
}

func (m *EUICCPackageErrorUnsigned) layout(c *coder) {
	member(c, 0x80, &m.EIMID, eimID())
	c.eimTransaction(0x82, &m.EIMTransactionID)
	maybe(c, 0x84, &m.AssociationToken, association())
	optCode(c, 0x8F, &m.Code)
}
