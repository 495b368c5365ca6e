package rsp

import "github.com/iotregistry/sdk/internal/bertlv"

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

// GetEIMPackageResponse is what there is to do: exactly one of them.
type GetEIMPackageResponse struct {
	Received
	Package     *EUICCPackageRequest
	DataRequest *IPAEUICCDataRequest
	Trigger     *ProfileDownloadTriggerRequest
	Error       *EIMPackageError
}

func (*GetEIMPackageResponse) tag() bertlv.Tag { return 0xBF4F }
func (m *GetEIMPackageResponse) layout(c *coder) {
	optional(c, 0xBF51, &m.Package)
	optional(c, 0xBF52, &m.DataRequest)
	optional(c, 0xBF54, &m.Trigger)
	optCode(c, tagInteger, &m.Error)
	c.choose(m.Package != nil, m.DataRequest != nil, m.Trigger != nil, m.Error != nil)
}

// ProvideEIMPackageResult is ESipa.ProvideEimPackageResult: a device tells what
// came of a package.
type ProvideEIMPackageResult struct {
	Received
	EID    *EID // nil: not told
	Result EIMPackageResult
}

func (*ProvideEIMPackageResult) tag() bertlv.Tag { return 0xBF50 }
func (*ProvideEIMPackageResult) limit() int      { return MaxPackage }
func (m *ProvideEIMPackageResult) layout(c *coder) {
	maybe(c, 0x5A, &m.EID, eidKind())
	m.Result.member(c)
}

// EIMPackageResult is what came of a package: exactly one of them. Its Raw is the
// one that came, as it was received; its Extra is not used.
type EIMPackageResult struct {
	Received
	Package           *EUICCPackageResult
	WithNotifications *PackageResultAndNotifications
	Data              *IPAEUICCDataResponse
	Trigger           *ProfileDownloadTriggerResult
	Error             *EIMPackageResultFailure
	Other             []byte // a result not known here, a whole object
}

func (r *EIMPackageResult) member(c *coder) {
	if c.decoding {
		if t, _, err := bertlv.Read(c.rest); err == nil {
			r.Raw = t.Raw
		}
	}
	c.oneOf("result", &r.Other,
		nodeChoice(c, 0xBF51, &r.Package),
		nodeChoice(c, tagSequence, &r.WithNotifications),
		nodeChoice(c, 0xBF52, &r.Data),
		nodeChoice(c, 0xBF54, &r.Trigger),
		nodeChoice(c, 0xA0, &r.Error),
	)
}

// PackageResultAndNotifications is ePRAndNotifications: a package's result, and
// the notifications that it left behind.
type PackageResultAndNotifications struct {
	Received
	Package       EUICCPackageResult
	Notifications []PendingNotification
}

func (m *PackageResultAndNotifications) layout(c *coder) {
	nested(c, m.Package.tag(), &m.Package)
	c.within(0xA0, func(c *coder) {
		elements(c, &m.Notifications, MaxNotifications, (*PendingNotification).member)
	})
}

// EIMPackageResultFailure says why a device did nothing with a package.
type EIMPackageResultFailure struct {
	Received
	EIMTransactionID TransactionID // nil: none
	Code             EIMPackageResultError
}

func (m *EIMPackageResultFailure) layout(c *coder) {
	c.eimTransaction(0x80, &m.EIMTransactionID)
	code(c, tagInteger, &m.Code)
}

// ProvideEIMPackageResultResponse tells the device which results it may forget.
type ProvideEIMPackageResultResponse struct {
	Received
	Acknowledged []int64 // sequence numbers; nil: none
	Error        *EIMPackageError
	Bare         bool // neither: nothing at all, as in version 1.0, instead of an empty sequence
}

func (*ProvideEIMPackageResultResponse) tag() bertlv.Tag { return 0xBF50 }
func (m *ProvideEIMPackageResultResponse) layout(c *coder) {
	if !c.absent(0xBF53, m.Acknowledged == nil) {
		c.within(0xBF53, func(c *coder) {
			elements(c, &m.Acknowledged, MaxNotifications, func(n *int64, c *coder) { c.number(0x80, n) })
		})
	}
	optCode(c, tagInteger, &m.Error)
	none := m.Acknowledged == nil && m.Error == nil
	if c.decoding && none {
		m.Bare = c.absent(tagSequence, false)
	}
	if none && !m.Bare {
		c.within(tagSequence, func(*coder) {})
	}
	c.choose(m.Acknowledged != nil, m.Error != nil, none)
}
