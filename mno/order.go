package mno

import (
	"context"
	"fmt"

	"github.com/iotregistry/sdk/registry/eid"
)

// MaxSealed is the largest sealed profile, in bytes, that an [Order] may
// carry. An IoT profile with its certificates is about 3 kB.
const MaxSealed = 256 << 10

// Operator takes orders for sealed IoT profiles and delivers them to devices.
// Implementations are safe for concurrent use.
type Operator interface {
	// Order has the profile prepared for download by the device. It is
	// idempotent: repeating an order that is alive or delivered gives the same
	// receipt. The same device and profile ID with other content is
	// [ErrOrderConflict]; an order that was cancelled, superseded or has failed
	// is [ErrOrderClosed], so that a late repeat cannot revive it. A newer order
	// (higher profile ID) supersedes an older one of the same device that was
	// not downloaded yet.
	Order(ctx context.Context, o Order) (Receipt, error)

	// Cancel withdraws an order that was not downloaded yet, and burns its
	// ICCID. Repeating it is no error. Once downloaded it is
	// [ErrICCIDNotAvailable], and for an ICCID the operator does not know it is
	// [ErrUnknownICCID].
	Cancel(ctx context.Context, r Receipt) error
}

// Order asks an operator to deliver one sealed IoT profile to one device.
type Order struct {
	// Device is the device whose eUICC is to get the profile. It may be zero
	// only in a plain order, one without Sealed and ProfileID.
	Device eid.ID

	// ProfileID is the registry's number of the IoT profile; with Device it is
	// the order's idempotency key. Zero marks a plain order of a subscription
	// without an IoT profile, which is never idempotent.
	ProfileID uint64

	// Sealed is the sealed IoT profile (package profile), opaque here. At most
	// [MaxSealed] bytes. Callers and implementations must not modify it.
	Sealed []byte

	// ProfileType names the operator's kind of subscription to allocate from.
	// It may be empty only when ICCID is set (SGP.22 section 5.3.1).
	ProfileType string

	// ICCID asks for one ICCID of the operator's stock; empty lets the operator
	// allocate.
	ICCID string
}

// Validate reports whether the order can be sent at all. The error is a
// [*StatusError] that names the first thing that is wrong.
func (o Order) Validate() error {
	switch {
	case o.ICCID == "" && o.ProfileType == "":
		return conditionMissing("set ProfileType, or ICCID")
	case o.ProfileID == 0 && len(o.Sealed) != 0:
		return conditionMissing("a sealed profile needs its ProfileID")
	case o.ProfileID != 0 && len(o.Sealed) == 0:
		return conditionMissing("a ProfileID needs its sealed profile")
	case o.ProfileID != 0 && o.Device.IsZero():
		return &StatusError{Subject: SubjectEID, Reason: ReasonConditionMissing,
			Message: "an IoT profile is ordered for one device: set Device"}
	case len(o.Sealed) > MaxSealed:
		return &StatusError{Subject: SubjectFunction, Reason: ReasonInvalid,
			Message: fmt.Sprintf("sealed profile of %d bytes, at most %d are taken", len(o.Sealed), MaxSealed)}
	}
	if o.ICCID != "" {
		if _, err := CanonicalICCID(o.ICCID); err != nil {
			return err
		}
	}
	return nil
}

func conditionMissing(msg string) error {
	return &StatusError{Subject: SubjectFunction, Reason: ReasonConditionMissing, Message: msg}
}

// Receipt is what an operator gives for an order. Keep it: Cancel needs it.
type Receipt struct {
	// Device is the device the order was linked to; the SM-DP+ wants it back on
	// cancellation (SGP.22 section 5.3.3). Zero for an order without a device.
	Device eid.ID

	// ICCID is the number of the profile that will be downloaded, canonical.
	ICCID string

	// MatchingID selects the order at download time (SGP.22 section 4.1.1). It
	// is empty where the SM-DP+ selects by device alone.
	MatchingID string

	// SMDPAddress is the name of the SM-DP+ the device downloads from; empty
	// when the operator did not say.
	SMDPAddress string
}

// CanonicalICCID returns the digits of s without the filler F that pads an
// ICCID of 19 digits to 10 bytes, and the error of a bad ICCID for anything but
// 18 to 20 digits (SGP.22 section 6.5.2: ^[0-9]{18,19}[0-9F]?$). The Luhn digit
// is not checked: operators' test numbers break it.
func CanonicalICCID(s string) (string, error) {
	digits := s
	if len(digits) > 18 && (digits[len(digits)-1] == 'F' || digits[len(digits)-1] == 'f') {
		digits = digits[:len(digits)-1]
	}
	ok := len(digits) >= 18 && len(digits) <= 20
	for i := 0; ok && i < len(digits); i++ {
		ok = digits[i] >= '0' && digits[i] <= '9'
	}
	if !ok || len(s) > 20 {
		return "", &StatusError{Subject: SubjectICCID, Reason: ReasonInvalid, Identifier: clip(s, 40),
			Message: "an ICCID has 18 to 20 digits, or 19 and the filler F"}
	}
	return digits, nil
}

// clip bounds text that came from a peer before it is put into an error.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
