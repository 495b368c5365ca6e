package es2

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/registry/eid"
)

// The JSON objects of SGP.22 section 6.5.2, the same on both sides.

const (
	headerProtocol = "X-Admin-Protocol"
	contentType    = "application/json"

	statusSuccess = "Executed-Success"
	statusWarning = "Executed-WithWarning"
	statusFailed  = "Failed"
	statusExpired = "Expired"
)

// request is what every request object has.
type request interface {
	setHeader(requestHeader)
	call() (Call, error)
}

// response is what every response object has: its status, and whether the
// members that must be there on success are.
type response interface {
	status() error
	complete() error
}

type requestHeader struct {
	Requester string `json:"functionRequesterIdentifier"`
	CallID    string `json:"functionCallIdentifier"`
}

type withRequestHeader struct {
	Header requestHeader `json:"header"`
}

func (w *withRequestHeader) setHeader(h requestHeader) { w.Header = h }

func (w *withRequestHeader) call() (Call, error) {
	switch {
	case w.Header.Requester == "":
		return Call{}, &mno.StatusError{Subject: mno.SubjectRequester, Reason: mno.ReasonMissing,
			Message: "set header.functionRequesterIdentifier"}
	case w.Header.CallID == "":
		return Call{}, &mno.StatusError{Subject: mno.SubjectFunction, Reason: mno.ReasonMissing,
			Message: "set header.functionCallIdentifier, unique per call"}
	case len(w.Header.Requester) > maxText || len(w.Header.CallID) > maxText:
		return Call{}, invalid(mno.SubjectFunction, "", "an identifier in header is too long")
	}
	return Call{Requester: w.Header.Requester, ID: w.Header.CallID}, nil
}

type statusCodeData struct {
	Subject    string `json:"subjectCode"`
	Reason     string `json:"reasonCode"`
	Identifier string `json:"subjectIdentifier,omitempty"`
	Message    string `json:"message,omitempty"`
}

type executionStatus struct {
	Status string          `json:"status"`
	Data   *statusCodeData `json:"statusCodeData,omitempty"`
}

func executionStatusOf(se *mno.StatusError) executionStatus {
	if se == nil {
		return executionStatus{Status: statusSuccess}
	}
	return executionStatus{Status: statusFailed, Data: &statusCodeData{Subject: se.Subject, Reason: se.Reason,
		Identifier: limited(se.Identifier), Message: limited(se.Message)}}
}

// err returns the refusal in s as a [*mno.StatusError], nil for none, and
// another error where s says nothing that SGP.22 knows.
func (s executionStatus) err() error {
	switch s.Status {
	case statusSuccess, statusWarning:
		return nil
	case statusFailed, statusExpired:
	default:
		return fmt.Errorf("no functionExecutionStatus.status that SGP.22 knows: %q", limited(s.Status))
	}
	if s.Data != nil {
		return &mno.StatusError{Subject: limited(s.Data.Subject), Reason: limited(s.Data.Reason),
			Identifier: limited(s.Data.Identifier), Message: limited(s.Data.Message)}
	}
	se := &mno.StatusError{Subject: mno.SubjectFunction, Reason: mno.ReasonRefused, Message: "the peer gave no reason"}
	if s.Status == statusExpired {
		se.Reason = mno.ReasonExpired
	}
	return se
}

type withResponseHeader struct {
	Header struct {
		Status executionStatus `json:"functionExecutionStatus"`
	} `json:"header"`
}

func (w *withResponseHeader) status() error                 { return w.Header.Status.err() }
func (w *withResponseHeader) complete() error               { return nil }
func (w *withResponseHeader) setStatus(se *mno.StatusError) { w.Header.Status = executionStatusOf(se) }

type emptyResponse struct{ withResponseHeader }

// deviceMembers name a device: an EID in the member SGP.22 has for it, any
// other device ID in our extension member.
type deviceMembers struct {
	EID         string `json:"eid,omitempty"`
	IoTDeviceID string `json:"iotDeviceId,omitempty"`
}

type downloadOrderRequest struct {
	withRequestHeader
	deviceMembers
	ICCID            string `json:"iccid,omitempty"`
	ProfileType      string `json:"profileType,omitempty"`
	IoTProfileID     uint64 `json:"iotProfileId,omitempty"`
	IoTSealedProfile []byte `json:"iotSealedProfile,omitempty"`
}

type downloadOrderResponse struct {
	withResponseHeader
	ICCID string `json:"iccid"`
}

func (r *downloadOrderResponse) complete() error {
	if r.ICCID == "" {
		return errors.New("the answer has no iccid")
	}
	return nil
}

type confirmOrderRequest struct {
	withRequestHeader
	deviceMembers
	ICCID            string  `json:"iccid"`
	MatchingID       *string `json:"matchingId,omitempty"`
	ConfirmationCode string  `json:"confirmationCode,omitempty"`
	SMDSAddress      string  `json:"smdsAddress,omitempty"`
	ReleaseFlag      *bool   `json:"releaseFlag"`
}

type confirmOrderResponse struct {
	withResponseHeader
	deviceMembers
	MatchingID  *string `json:"matchingId,omitempty"`
	SMDPAddress string  `json:"smdpAddress,omitempty"`
}

func (r *confirmOrderResponse) complete() error {
	if r.MatchingID == nil {
		return errors.New("the answer has no matchingId")
	}
	return nil
}

type cancelOrderRequest struct {
	withRequestHeader
	deviceMembers
	ICCID      string `json:"iccid"`
	MatchingID string `json:"matchingId,omitempty"`
	Final      string `json:"finalProfileStatusIndicator"`
}

type releaseProfileRequest struct {
	withRequestHeader
	ICCID string `json:"iccid"`
}

type progressRequest struct {
	withRequestHeader
	deviceMembers
	ICCID        string          `json:"iccid"`
	ProfileType  string          `json:"profileType"`
	Timestamp    string          `json:"timestamp"`
	Point        pointID         `json:"notificationPointId"`
	Status       executionStatus `json:"notificationPointStatus"`
	Result       []byte          `json:"resultData,omitempty"`
	IoTProfileID uint64          `json:"iotProfileId,omitempty"`

	// What version 3 calls Point and Status.
	Event       pointID          `json:"notificationEvent,omitempty"`
	EventStatus *executionStatus `json:"notificationEventStatus,omitempty"`
}

// pointID is a number that some senders write as a string.
type pointID int

func (p *pointID) UnmarshalJSON(b []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(b), `"`))
	if err != nil || n < 1 || n > 65535 {
		return errors.New("notificationPointId is no number from 1 to 65535")
	}
	*p = pointID(n)
	return nil
}

func progressRequestOf(p mno.Progress) (*progressRequest, error) {
	iccid, err := mno.CanonicalICCID(p.ICCID)
	if err != nil {
		return nil, err
	}
	return &progressRequest{
		deviceMembers: membersOf(p.Device), ICCID: iccid, ProfileType: p.ProfileType,
		Timestamp: p.Time.UTC().Format(time.RFC3339), Point: pointID(p.Point),
		Status: executionStatusOf(p.Failure), Result: p.Result, IoTProfileID: p.ProfileID,
	}, nil
}

func membersOf(id eid.ID) deviceMembers {
	switch {
	case id.IsZero():
		return deviceMembers{}
	case id.Kind() == eid.EID:
		return deviceMembers{EID: id.String()}
	}
	return deviceMembers{IoTDeviceID: id.String()}
}
