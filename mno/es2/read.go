package es2

import (
	"bytes"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry/eid"
)

// From wire objects to nouns, with every check that needs no order book.

const maxText = 255 // bytes of any text member

func invalid(subject, identifier, msg string) error {
	return &mno.StatusError{Subject: subject, Reason: mno.ReasonInvalid, Identifier: limited(identifier), Message: msg}
}

func missing(subject, msg string) error {
	return &mno.StatusError{Subject: subject, Reason: mno.ReasonMissing, Message: msg}
}

// limited cuts a peer's text to what may be stored or shown.
func limited(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	if !utf8.ValidString(s) {
		s = string(bytes.ToValidUTF8([]byte(s), []byte("?")))
	}
	return s
}

// device returns the device that the members name, zero for none.
func (d deviceMembers) device() (eid.ID, error) {
	var id eid.ID
	if d.EID != "" {
		var err error
		if id, err = eid.Parse(d.EID); err != nil || id.Kind() != eid.EID {
			return eid.ID{}, invalid(mno.SubjectEID, d.EID, "eid is not 32 digits with a right check value; other device IDs go into iotDeviceId")
		}
	}
	if d.IoTDeviceID == "" {
		return id, nil
	}
	other, err := eid.Parse(d.IoTDeviceID)
	if err != nil {
		return eid.ID{}, invalid(mno.SubjectEID, d.IoTDeviceID, "iotDeviceId is no device ID")
	}
	if !id.IsZero() && id != other {
		return eid.ID{}, invalid(mno.SubjectEID, d.IoTDeviceID, "eid and iotDeviceId name two devices")
	}
	return other, nil
}

func iccidOf(s string) (string, error) {
	if s == "" {
		return "", missing(mno.SubjectICCID, "set iccid")
	}
	return mno.CanonicalICCID(s)
}

func (r *downloadOrderRequest) order() (mno.Order, error) {
	device, err := r.device()
	if err != nil {
		return mno.Order{}, err
	}
	if len(r.ProfileType) > maxText {
		return mno.Order{}, invalid(mno.SubjectProfileType, r.ProfileType, "profileType is too long")
	}
	o := mno.Order{Device: device, ProfileID: r.IoTProfileID, Sealed: orNil(r.IoTSealedProfile),
		ProfileType: r.ProfileType, ICCID: r.ICCID}
	if err := o.Validate(); err != nil {
		return mno.Order{}, err
	}
	if o.ICCID != "" {
		o.ICCID, err = mno.CanonicalICCID(o.ICCID)
	}
	return o, err
}

func (r *confirmOrderRequest) order() (ConfirmOrder, error) {
	iccid, err := iccidOf(r.ICCID)
	if err != nil {
		return ConfirmOrder{}, err
	}
	device, err := r.device()
	if err != nil {
		return ConfirmOrder{}, err
	}
	if r.MatchingID != nil && !validMatchingID(*r.MatchingID) {
		return ConfirmOrder{}, invalid(mno.SubjectMatchingID, *r.MatchingID, "matchingId has capital letters, digits and '-' only")
	}
	if r.ReleaseFlag == nil {
		return ConfirmOrder{}, missing(mno.SubjectFunction, "set releaseFlag to true or false")
	}
	if len(r.ConfirmationCode) > maxText || len(r.SMDSAddress) > maxText {
		return ConfirmOrder{}, invalid(mno.SubjectFunction, "", "confirmationCode or smdsAddress is too long")
	}
	return ConfirmOrder{ICCID: iccid, Device: device, MatchingID: r.MatchingID,
		ConfirmationCode: Secret(r.ConfirmationCode), SMDSAddress: r.SMDSAddress, Release: *r.ReleaseFlag}, nil
}

func (r *cancelOrderRequest) order() (CancelOrder, error) {
	iccid, err := iccidOf(r.ICCID)
	if err != nil {
		return CancelOrder{}, err
	}
	device, err := r.device()
	if err != nil {
		return CancelOrder{}, err
	}
	if !validMatchingID(r.MatchingID) {
		return CancelOrder{}, invalid(mno.SubjectMatchingID, r.MatchingID, "matchingId has capital letters, digits and '-' only")
	}
	o := CancelOrder{ICCID: iccid, Device: device, MatchingID: r.MatchingID}
	switch r.Final {
	case mno.Available.String():
		o.Final = mno.Available
	case mno.Unavailable.String():
		o.Final = mno.Unavailable
	case "":
		return CancelOrder{}, missing(mno.SubjectFunction, "set finalProfileStatusIndicator to Available or Unavailable")
	default:
		return CancelOrder{}, invalid(mno.SubjectFunction, r.Final, "finalProfileStatusIndicator is Available or Unavailable")
	}
	return o, nil
}

func (r *progressRequest) progress() (mno.Progress, error) {
	iccid, err := iccidOf(r.ICCID)
	if err != nil {
		return mno.Progress{}, err
	}
	device, err := r.device()
	if err != nil {
		return mno.Progress{}, err
	}
	at, err := time.Parse(time.RFC3339, r.Timestamp)
	if err != nil {
		return mno.Progress{}, invalid(mno.SubjectFunction, r.Timestamp, "timestamp is not like 2026-11-24T10:00:00Z")
	}
	if r.Event != 0 && r.EventStatus != nil {
		r.Point, r.Status = r.Event, *r.EventStatus
	}
	if r.Point == 0 {
		return mno.Progress{}, missing(mno.SubjectFunction, "set notificationPointId")
	}
	if len(r.ProfileType) > maxText {
		return mno.Progress{}, invalid(mno.SubjectProfileType, r.ProfileType, "profileType is too long")
	}
	p := mno.Progress{Device: device, ICCID: iccid, ProfileType: r.ProfileType, ProfileID: r.IoTProfileID,
		Time: at.UTC(), Point: mno.Point(r.Point), Result: orNil(r.Result)}
	if err := r.Status.err(); err != nil && !errors.As(err, &p.Failure) {
		return mno.Progress{}, invalid(mno.SubjectFunction, r.Status.Status, "notificationPointStatus.status is not one of SGP.22")
	}
	return p, nil
}

// orNil takes an empty member as one that is not there, as it is on the way back.
func orNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func validMatchingID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return len(s) <= maxText
}
