package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

// The messages here are SGP.32's. Their tags are from the reference and from
// public schemas of version 1.2, not checked against the GSMA text. [M]

// GetEIMPackageRequest is ESipa.GetEimPackage: a device asks what there is to do.
type GetEIMPackageRequest struct {
	Received
	EID          EID
	NotifyChange bool   // the eIM is to read the eUICC's state again
	Cause        *int   // of the change; nil: not told
	RPLMN        []byte // last registered network, 3 bytes; nil: not told
}

func (*GetEIMPackageRequest) tag() bertlv.Tag { return 0xBF4F }
func (m *GetEIMPackageRequest) layout(c *coder) {
	c.eid(0x5A, &m.EID)
	c.flag(0x80, &m.NotifyChange)
	optCode(c, 0x81, &m.Cause)
	c.optOctets(0x82, &m.RPLMN, 3, 3)
}

// EIMPackageError says why there is no package.
type EIMPackageError int

// The reasons of an EIMPackageError.
const (
	EIMNoPackage   EIMPackageError = 1
	EIMEIDNotFound EIMPackageError = 2
	EIMInvalidEID  EIMPackageError = 3
	EIMMissingEID  EIMPackageError = 4
	EIMUndefined   EIMPackageError = 127
)

// String returns SGP.32's name of the reason.
func (e EIMPackageError) String() string {
	return named("eIM package error", int(e), map[int]string{
		1: "noEimPackageAvailable", 2: "eidNotFound", 3: "invalidEid", 4: "missingEid", 127: "undefinedError",
	})
}

// GetEIMPackageResponse is what there is to do: exactly one of them.
type GetEIMPackageResponse struct {
	Received
	Package     *EUICCPackageRequest
	DataRequest []byte // IpaEuiccDataRequest, the whole BF52 object
	Trigger     *ProfileDownloadTriggerRequest
	Error       *EIMPackageError
}

func (*GetEIMPackageResponse) tag() bertlv.Tag { return 0xBF4F }
func (m *GetEIMPackageResponse) layout(c *coder) {
	optional(c, 0xBF51, &m.Package)
	c.optRaw(0xBF52, &m.DataRequest, MaxMessage)
	optional(c, 0xBF54, &m.Trigger)
	optCode(c, tagInteger, &m.Error)
	c.choose(m.Package != nil, m.DataRequest != nil, m.Trigger != nil, m.Error != nil)
}

// EUICCPackageRequest is a package of operations that an eIM has signed.
type EUICCPackageRequest struct {
	Received
	Signed    EUICCPackageSigned
	Signature []byte // eimSignature: r and s, 64 bytes
}

func (*EUICCPackageRequest) tag() bertlv.Tag { return 0xBF51 }
func (m *EUICCPackageRequest) layout(c *coder) {
	nested(c, tagSequence, &m.Signed)
	c.signature(&m.Signature)
}

// EUICCPackageSigned is the signed part. What the signature covers besides it,
// and in which order, is left to the callers.
type EUICCPackageSigned struct {
	Received
	EIMID            string
	EID              EID
	Counter          int64         // grows with each package
	EIMTransactionID TransactionID // nil: none
	Operations       []PSMO        // nil: Configuration is there
	Configuration    []byte        // operations on the eIM's configuration, the whole A1 object
}

func (*EUICCPackageSigned) tag() bertlv.Tag { return tagSequence }
func (m *EUICCPackageSigned) layout(c *coder) {
	c.text(0x80, &m.EIMID, 128)
	c.eid(0x5A, &m.EID)
	c.number(0x81, &m.Counter)
	c.optOctets(0x82, (*[]byte)(&m.EIMTransactionID), 1, maxTransactionID)
	if !c.absent(0xA0, m.Operations == nil) {
		c.within(0xA0, m.operations)
	}
	c.optRaw(0xA1, &m.Configuration, MaxMessage)
	if (m.Operations == nil) == (m.Configuration == nil) {
		c.fail("a package has operations on profiles or on the configuration")
	}
}

// maxOperations is how many operations a package may have.
const maxOperations = 64

func (m *EUICCPackageSigned) operations(c *coder) {
	if c.decoding {
		m.Operations = []PSMO{}
	}
	c.each(len(m.Operations), maxOperations, func(i int) {
		if c.decoding {
			m.Operations = append(m.Operations, PSMO{})
		}
		m.Operations[i].member(c)
	})
}

// PSMO is one operation on profiles: exactly one of them.
type PSMO struct {
	Enable  *PSMOEnable
	Disable *PSMOProfile
	Delete  *PSMOProfile
	List    *ProfileInfoListRequest
	Other   []byte // an operation not known here, a whole object
}

// PSMOEnable enables a profile.
type PSMOEnable struct {
	Received
	ICCID    ICCID
	Rollback bool // back to the former profile if the device gets no connection
}

func (m *PSMOEnable) layout(c *coder) {
	member(c, tagICCID, &m.ICCID, iccidKind())
	c.flag(0x05, &m.Rollback)
}

// PSMOProfile is an operation that needs no more than the profile's number.
type PSMOProfile struct {
	Received
	ICCID ICCID
}

func (m *PSMOProfile) layout(c *coder) { member(c, tagICCID, &m.ICCID, iccidKind()) }

func (p *PSMO) present() int {
	n := 0
	for _, there := range []bool{p.Enable != nil, p.Disable != nil, p.Delete != nil, p.List != nil, p.Other != nil} {
		if there {
			n++
		}
	}
	return n
}

func (p *PSMO) member(c *coder) {
	if !c.decoding && p.present() != 1 {
		c.fail("an operation is exactly one of them")
	}
	known := map[bertlv.Tag]func(){
		0xA3:   func() { optional(c, 0xA3, &p.Enable) },
		0xA4:   func() { optional(c, 0xA4, &p.Disable) },
		0xA5:   func() { optional(c, 0xA5, &p.Delete) },
		0xBF2D: func() { optional(c, 0xBF2D, &p.List) },
	}
	if !c.decoding {
		for _, tag := range []bertlv.Tag{0xA3, 0xA4, 0xA5, 0xBF2D} {
			known[tag]()
		}
	}
	b := p.Other
	if c.decoding {
		b = c.rest
	}
	if len(b) == 0 {
		return
	}
	t, _, err := bertlv.Read(b)
	if err != nil {
		c.fail("%w", err)
		return
	}
	if read, ok := known[t.Tag]; ok {
		if !c.decoding {
			c.fail("%v is an operation known here", t.Tag)
		}
		read()
		return
	}
	c.raw(t.Tag, &p.Other, MaxMessage)
}

// ProfileDownloadTriggerRequest sends a device to an SM-DP+. At most one of
// activation code, default server and discovery server is there.
type ProfileDownloadTriggerRequest struct {
	Received
	ActivationCode   *string
	DefaultSMDP      bool   // ask the SM-DP+ the eUICC knows
	SMDS             []byte // contactSmds, the whole A2 object
	EIMTransactionID TransactionID
}

func (*ProfileDownloadTriggerRequest) tag() bertlv.Tag { return 0xBF54 }
func (m *ProfileDownloadTriggerRequest) layout(c *coder) {
	if !c.absent(0xA0, m.ActivationCode == nil && !m.DefaultSMDP && m.SMDS == nil) {
		c.within(0xA0, func(c *coder) {
			c.optText(0x80, &m.ActivationCode, 255)
			c.flag(0x81, &m.DefaultSMDP)
			c.optRaw(0xA2, &m.SMDS, 512)
			c.choose(m.ActivationCode != nil, m.DefaultSMDP, m.SMDS != nil)
		})
	}
	c.optOctets(0x82, (*[]byte)(&m.EIMTransactionID), 1, maxTransactionID)
}

// ProvideEIMPackageResult is ESipa.ProvideEimPackageResult. The result itself is
// kept whole: an EuiccPackageResult (BF51), an answer to a data request (BF52), a
// download's outcome (BF54), or a sequence or an error of these.
type ProvideEIMPackageResult struct {
	Received
	EID    *EID // nil: not told
	Result []byte
}

func (*ProvideEIMPackageResult) tag() bertlv.Tag { return 0xBF50 }
func (m *ProvideEIMPackageResult) layout(c *coder) {
	maybe(c, 0x5A, &m.EID, eidKind())
	b := m.Result
	if c.decoding {
		b = c.rest
	}
	t, _, err := bertlv.Read(b)
	if err != nil {
		c.fail("result: %w", err)
		return
	}
	c.raw(t.Tag, &m.Result, MaxMessage)
}

// ProvideEIMPackageResultResponse tells the device which results it may forget.
type ProvideEIMPackageResultResponse struct {
	Received
	Acknowledged []int64 // sequence numbers; nil: none
}

func (*ProvideEIMPackageResultResponse) tag() bertlv.Tag { return 0xBF50 }
func (m *ProvideEIMPackageResultResponse) layout(c *coder) {
	if c.absent(0xBF53, m.Acknowledged == nil) {
		return
	}
	c.within(0xBF53, func(c *coder) {
		if c.decoding {
			m.Acknowledged = []int64{}
		}
		c.each(len(m.Acknowledged), MaxNotifications, func(i int) {
			if c.decoding {
				m.Acknowledged = append(m.Acknowledged, 0)
			}
			c.number(0x80, &m.Acknowledged[i])
		})
	})
}
