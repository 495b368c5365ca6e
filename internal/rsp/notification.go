package rsp

import (
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// NotificationMetadata says what happened to which profile, and who is to know.
type NotificationMetadata struct {
	Received
	SeqNumber int64
	Event     Events // exactly one, by SGP.22; this is not checked here
	Address   string // FQDN
	ICCID     *ICCID // nil: not told
}

func (*NotificationMetadata) tag() bertlv.Tag { return 0xBF2F }
func (m *NotificationMetadata) layout(c *coder) {
	c.number(0x80, &m.SeqNumber)
	member(c, 0x81, &m.Event, namedBits[Events]())
	c.address(tagText, &m.Address)
	maybe(c, tagICCID, &m.ICCID, iccidKind())
}

// OtherSignedNotification is a notification of anything but an installation.
type OtherSignedNotification struct {
	Received
	Notification     NotificationMetadata
	Signature        []byte // r and s, 64 bytes
	EUICCCertificate []byte // DER
	EUMCertificate   []byte // DER
}

func (*OtherSignedNotification) tag() bertlv.Tag { return tagSequence }
func (m *OtherSignedNotification) layout(c *coder) {
	nested(c, m.Notification.tag(), &m.Notification)
	c.signature(&m.Signature)
	c.certificate(&m.EUICCCertificate)
	c.certificate(&m.EUMCertificate)
}

// PendingNotification is what an eUICC keeps until it has been delivered:
// exactly one of the two.
type PendingNotification struct {
	Installation *ProfileInstallationResult
	Other        *OtherSignedNotification
}

// DecodePendingNotification reads b, the whole of it.
func DecodePendingNotification(b []byte) (*PendingNotification, error) {
	var n PendingNotification
	var err error
	if len(b) > 0 && b[0] == byte(tagSequence) {
		n.Other, err = Decode[OtherSignedNotification](b)
	} else {
		n.Installation, err = Decode[ProfileInstallationResult](b)
	}
	if err != nil {
		return nil, err
	}
	return &n, nil
}

// Encode returns the DER of the one that is there.
func (n *PendingNotification) Encode() ([]byte, error) {
	switch {
	case (n.Installation != nil) == (n.Other != nil):
		return nil, fmt.Errorf("rsp: %w: a notification is of an installation or another", ErrFormat)
	case n.Other != nil:
		return Encode(n.Other)
	}
	return Encode(n.Installation)
}

// Metadata returns what happened, nil where n is empty.
func (n *PendingNotification) Metadata() *NotificationMetadata {
	switch {
	case n.Installation != nil:
		return &n.Installation.Data.Notification
	case n.Other != nil:
		return &n.Other.Notification
	}
	return nil
}

// member is one notification within a list or a message.
func (n *PendingNotification) member(c *coder) {
	if !c.decoding && (n.Installation != nil) == (n.Other != nil) {
		c.fail("a notification is of an installation or another")
	}
	c.refuseCompact(0xA0, 0xA1)
	optional(c, 0xBF37, &n.Installation)
	if n.Installation == nil {
		if n.Other == nil {
			n.Other = &OtherSignedNotification{}
		}
		nested(c, tagSequence, n.Other)
	}
}

// MaxNotifications is how many notifications a list may hold.
const MaxNotifications = 256

// ListNotificationRequest is ES10b.ListNotification.
type ListNotificationRequest struct {
	Received
	Events *Events // nil: all
}

func (*ListNotificationRequest) tag() bertlv.Tag { return 0xBF28 }
func (m *ListNotificationRequest) layout(c *coder) {
	maybe(c, 0x81, &m.Events, namedBits[Events]())
}

// ListNotificationResponse has a list, or where that is nil an error.
type ListNotificationResponse struct {
	Received
	List  []NotificationMetadata
	Error *int // 127 is the only one
}

func (*ListNotificationResponse) tag() bertlv.Tag { return 0xBF28 }
func (*ListNotificationResponse) limit() int      { return MaxPackage }
func (m *ListNotificationResponse) layout(c *coder) {
	list(c, 0xA0, 0xBF2F, &m.List, MaxNotifications, true)
	optCode(c, 0x81, &m.Error)
	c.choose(m.List != nil, m.Error != nil)
}

// RetrieveNotificationsRequest is ES10b.RetrieveNotificationsList, by at most one
// of the criteria.
type RetrieveNotificationsRequest struct {
	Received
	SeqNumber      *int64
	Events         *Events
	PackageResults bool // the results of eUICC packages instead, SGP.32 only
}

func (*RetrieveNotificationsRequest) tag() bertlv.Tag { return 0xBF2B }
func (m *RetrieveNotificationsRequest) layout(c *coder) {
	if c.absent(0xA0, m.SeqNumber == nil && m.Events == nil && !m.PackageResults) {
		return
	}
	c.within(0xA0, func(c *coder) {
		c.optNumber(0x80, &m.SeqNumber)
		maybe(c, 0x81, &m.Events, namedBits[Events]())
		c.flag(0x82, &m.PackageResults)
		c.choose(m.SeqNumber != nil, m.Events != nil, m.PackageResults)
	})
}

// RetrieveNotificationsResponse has a list, or where that is nil an error, or in
// SGP.32 the results of eUICC packages.
type RetrieveNotificationsResponse struct {
	Received
	List     []PendingNotification
	Error    *int                 // 1: no result, 127: undefined
	Packages []EUICCPackageResult // SGP.32 only
}

func (*RetrieveNotificationsResponse) tag() bertlv.Tag { return 0xBF2B }
func (*RetrieveNotificationsResponse) limit() int      { return MaxPackage }
func (m *RetrieveNotificationsResponse) layout(c *coder) {
	choices(c, 0xA0, &m.List, MaxNotifications, (*PendingNotification).member)
	optCode(c, 0x81, &m.Error)
	list(c, 0xA2, 0xBF51, &m.Packages, MaxNotifications, true)
	c.choose(m.List != nil, m.Error != nil, m.Packages != nil)
}

// NotificationSentRequest is ES10b.RemoveNotificationFromList.
type NotificationSentRequest struct {
	Received
	SeqNumber int64
}

func (*NotificationSentRequest) tag() bertlv.Tag   { return 0xBF30 }
func (m *NotificationSentRequest) layout(c *coder) { c.number(0x80, &m.SeqNumber) }

// NotificationSentResponse says whether the notification was removed.
type NotificationSentResponse struct {
	Received
	Status int // 0 removed, 1 nothing to delete, 127 undefined
}

func (*NotificationSentResponse) tag() bertlv.Tag   { return 0xBF30 }
func (m *NotificationSentResponse) layout(c *coder) { code(c, 0x80, &m.Status) }
