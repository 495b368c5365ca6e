package esipa

import (
	"strings"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
)

// Path and media type of ESipa in the ASN.1 binding (SGP.32 section 6.1.1), the
// path to be added to the eIM's base URL. All functions have this one: the tag of
// a message, which travels without a wrapper, says which it is.
const (
	PathASN1 = "/gsma/rsp2/asn1"
	TypeASN1 = "application/x-gsma-rsp-asn1"
)

// Version is the protocol version that both sides send in X-Admin-Protocol, which
// is that of ES9+. Devices of any version 1 to 3 are served: some send that of
// SGP.32 instead.
const Version = "gsma/rsp/v2.1.0"

// The largest bodies in bytes. Lists of notifications make requests large, bound
// profile packages answers.
const (
	MaxRequest = 512 << 10
	MaxAnswer  = 4 << 20
)

const (
	headerProtocol = "X-Admin-Protocol"
	userAgent      = "gsma-rsp-ipad"
	maxText        = 255 // bytes of any text that is a peer's
)

// Tags of the messages and of what they are made of.
const (
	tagInitiate      bertlv.Tag = 0xBF39
	tagGetBound      bertlv.Tag = 0xBF3A
	tagAuthenticate  bertlv.Tag = 0xBF3B
	tagNotify        bertlv.Tag = 0xBF3D
	tagCancel        bertlv.Tag = 0xBF41
	tagGetPackage    bertlv.Tag = 0xBF4F
	tagProvideResult bertlv.Tag = 0xBF50

	tagPackage       bertlv.Tag = 0xBF51 // request and result alike, as the next two
	tagData          bertlv.Tag = 0xBF52
	tagTrigger       bertlv.Tag = 0xBF54
	tagWithNotices   bertlv.Tag = 0x30 // a package's result with notifications
	tagResultFailure bertlv.Tag = 0xA0
	tagInstallation  bertlv.Tag = 0xBF37
	tagSequence      bertlv.Tag = 0x30
	tagEID           bertlv.Tag = 0x5A
	tagInteger       bertlv.Tag = 0x02
	tagSuccess       bertlv.Tag = 0xA0
	tagFailure       bertlv.Tag = 0x81
	tagFailureClient bertlv.Tag = 0x82 // AuthenticateClient's, which has two successes
	tagTransaction   bertlv.Tag = 0x80
	codeMissingEID              = byte(rsp.EIMMissingEID)
	codeUndefined               = byte(rsp.EIMUndefined)
)

func success(tag bertlv.Tag, parts ...[]byte) []byte {
	return bertlv.Append(nil, tag, bertlv.Append(nil, tagSuccess, parts...))
}

func failure(tag, alternative bertlv.Tag, code byte) []byte {
	return bertlv.Append(nil, tag, bertlv.Append(nil, alternative, []byte{code}))
}

func transactionTLV(id []byte) []byte { return bertlv.Append(nil, tagTransaction, id) }

// isResult reports whether an object may be an EimPackageResult.
func isResult(tag bertlv.Tag) bool {
	switch tag {
	case tagPackage, tagData, tagTrigger, tagWithNotices, tagResultFailure:
		return true
	}
	return false
}

// isPackage reports whether an object may be what there is for a device to do.
func isPackage(tag bertlv.Tag) bool {
	return tag == tagPackage || tag == tagData || tag == tagTrigger
}

// statusError is a refusal of this binding in the words of all the rest.
func statusError(code interface {
	Status() rsp.Status
	String() string
}) error {
	s := code.Status()
	return &mno.StatusError{Subject: s.Subject, Reason: s.Reason, Message: code.String()}
}

// limited cuts a peer's text to what may be stored or shown.
func limited(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "?")
}
