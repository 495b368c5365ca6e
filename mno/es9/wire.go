package es9

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/mno"
)

// The JSON objects of SGP.22 sections 6.5.2.6 to 10, the same on both sides. All
// members but transactionId and smdpAddress are base64.

const (
	headerProtocol = "X-Admin-Protocol"
	userAgent      = "gsma-rsp-lpad"
	maxText        = 255 // bytes of any text member

	statusSuccess = "Executed-Success"
	statusWarning = "Executed-WithWarning"
	statusFailed  = "Failed"
	statusExpired = "Expired"
)

// shape bounds a JSON body, whose size is bounded before. Members that are not
// known are skipped, as SGP.22 section 6.5.1 wants; so is a header in a request.
var shape = strictjson.Limits{Depth: 8, Names: 256}

// The tags that the members' objects begin with.
const (
	tagSequence      bertlv.Tag = 0x30
	tagSignature     bertlv.Tag = 0x5F37
	tagOctets        bertlv.Tag = 0x04
	tagInfo1         bertlv.Tag = 0xBF20
	tagMetadata      bertlv.Tag = 0xBF25
	tagPrepare       bertlv.Tag = 0xBF21
	tagPackage       bertlv.Tag = 0xBF36
	tagResult        bertlv.Tag = 0xBF37
	tagAuthenticate  bertlv.Tag = 0xBF38
	tagCancel        bertlv.Tag = 0xBF41
	tagInitiateES9   bertlv.Tag = 0xBF39
	tagPackageES9    bertlv.Tag = 0xBF3A
	tagAuthClientES9 bertlv.Tag = 0xBF3B
	tagNotifyES9     bertlv.Tag = 0xBF3D
	tagWrapper       bertlv.Tag = 0xA2
	tagSuccess       bertlv.Tag = 0xA0
	tagFailure       bertlv.Tag = 0x81
	tagTransaction   bertlv.Tag = 0x80
	challengeSize               = 16
)

// Names of the members, for reading and for what is said about them.
const (
	nameTransaction = "transactionId"
	nameAddress     = "smdpAddress"
)

type initiateRequest struct {
	Challenge   string `json:"euiccChallenge"`
	Info1       string `json:"euiccInfo1"`
	SMDPAddress string `json:"smdpAddress"`
}

type initiateResponse struct {
	withHeader
	TransactionID string `json:"transactionId,omitempty"`
	ServerSigned1 string `json:"serverSigned1,omitempty"`
	Signature1    string `json:"serverSignature1,omitempty"`
	CIKeyID       string `json:"euiccCiPKIdToBeUsed,omitempty"`
	Certificate   string `json:"serverCertificate,omitempty"`
}

type authenticateClientRequest struct {
	TransactionID string `json:"transactionId"`
	Response      string `json:"authenticateServerResponse"`
}

type authenticateClientResponse struct {
	withHeader
	TransactionID string `json:"transactionId,omitempty"`
	Metadata      string `json:"profileMetadata,omitempty"`
	SMDPSigned2   string `json:"smdpSigned2,omitempty"`
	Signature2    string `json:"smdpSignature2,omitempty"`
	Certificate   string `json:"smdpCertificate,omitempty"`
}

type packageRequest struct {
	TransactionID string `json:"transactionId"`
	Response      string `json:"prepareDownloadResponse"`
}

type packageResponse struct {
	withHeader
	TransactionID string `json:"transactionId,omitempty"`
	Bound         string `json:"boundProfilePackage,omitempty"`
}

type cancelRequest struct {
	TransactionID string `json:"transactionId"`
	Response      string `json:"cancelSessionResponse"`
}

type emptyResponse struct{ withHeader }

type notificationRequest struct {
	Notification string `json:"pendingNotification"`
}

type withHeader struct {
	Header struct {
		Status executionStatus `json:"functionExecutionStatus"`
	} `json:"header"`
}

func (w *withHeader) status() error                 { return w.Header.Status.err() }
func (w *withHeader) setStatus(se *mno.StatusError) { w.Header.Status = executionStatusOf(se) }

type executionStatus struct {
	Status string          `json:"status"`
	Data   *statusCodeData `json:"statusCodeData,omitempty"`
}

type statusCodeData struct {
	Subject    string `json:"subjectCode"`
	Reason     string `json:"reasonCode"`
	Identifier string `json:"subjectIdentifier,omitempty"`
	Message    string `json:"message,omitempty"`
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

// limited cuts a peer's text to what may be stored or shown.
func limited(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "?")
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func transactionText(id []byte) string { return rsp.TransactionID(id).String() }

// memberError says what is wrong with a member.
type memberError struct {
	name    string
	missing bool
	why     string
}

func (e *memberError) Error() string {
	if e.missing {
		return "the member " + e.name + " is missing"
	}
	return "the member " + e.name + " " + e.why
}

// refusal is what a server answers.
func (e *memberError) refusal() *mno.StatusError {
	se := &mno.StatusError{Subject: mno.SubjectFunction, Reason: mno.ReasonInvalid, Message: e.Error()}
	if e.missing {
		se.Reason = mno.ReasonMissing
	}
	switch e.name {
	case nameTransaction:
		se.Subject = subjectTransaction
	case nameAddress:
		se.Subject = subjectAddress
	}
	return se
}

// Subjects that only ES9+ has use for.
const (
	subjectAddress     = "8.8.1"
	subjectTransaction = "8.10.1"
)

// members reads the members of one object and keeps the first error. What the
// objects hold is checked by those who understand them; here they are whole.
type members struct{ err error }

func (m *members) fail(name, why string) []byte {
	if m.err == nil {
		m.err = &memberError{name: name, why: why}
	}
	return nil
}

// bytes reads base64. Some senders break its lines, some indent it.
func (m *members) bytes(name, s string) []byte {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, s)
	if s == "" {
		if m.err == nil {
			m.err = &memberError{name: name, missing: true}
		}
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return m.fail(name, "is not padded base64")
	}
	return b
}

// object reads base64 of exactly one object with one of the tags.
func (m *members) object(name, s string, tags ...bertlv.Tag) []byte {
	b := m.bytes(name, s)
	if b == nil {
		return nil
	}
	t, err := bertlv.Parse(b)
	if err != nil {
		return m.fail(name, "is not one DER object")
	}
	for _, tag := range tags {
		if t.Tag == tag {
			return b
		}
	}
	return m.fail(name, fmt.Sprintf("is an object with tag %v instead of %v", t.Tag, tags))
}

func (m *members) challenge(s string) []byte {
	b := m.bytes("euiccChallenge", s)
	if b != nil && len(b) != challengeSize {
		return m.fail("euiccChallenge", "is not 16 bytes")
	}
	return b
}

func (m *members) transaction(s string) []byte {
	if s == "" {
		if m.err == nil {
			m.err = &memberError{name: nameTransaction, missing: true}
		}
		return nil
	}
	id, err := rsp.ParseTransactionID(s)
	if err != nil {
		return m.fail(nameTransaction, "is not 2 to 32 hexadecimal digits in upper case")
	}
	return id
}

func (m *members) address(s string) string {
	switch {
	case s == "":
		if m.err == nil {
			m.err = &memberError{name: nameAddress, missing: true}
		}
	case len(s) > maxText || !utf8.ValidString(s):
		m.fail(nameAddress, "is too long")
	}
	return s
}
