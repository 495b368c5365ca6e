package bsp

import (
	"bytes"
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// Content of InitialiseSecureChannelRequest (SGP.22 section 5.5.1).
const (
	tagChannel   bertlv.Tag = 0xBF23
	tagRemoteOp  bertlv.Tag = 0x82
	tagTxID      bertlv.Tag = 0x80
	tagCRT       bertlv.Tag = 0xA6
	tagKeyType   bertlv.Tag = 0x80
	tagKeyLength bertlv.Tag = 0x81
	tagHostID    bertlv.Tag = 0x84
	tagPoint     bertlv.Tag = 0x5F49
	tagSignature bertlv.Tag = 0x5F37

	installBoundProfilePackage = 1 // the only remoteOpId
)

// channel is an InitialiseSecureChannelRequest.
type channel struct {
	txID, hostID []byte
	point        []byte // otPK.DP
	signature    []byte // raw, of signed
	signed       []byte // the members before the signature as they came, and otPK.EUICC
	remoteOp     []byte
	keyType      []byte
	keyLength    []byte
}

// appendChannelMembers appends all members but the signature.
func appendChannelMembers(dst, txID, hostID, point []byte) []byte {
	dst = bertlv.Append(dst, tagRemoteOp, []byte{installBoundProfilePackage})
	dst = bertlv.Append(dst, tagTxID, txID)
	dst = bertlv.AppendHeader(dst, tagCRT, 3+3+2+len(hostID))
	dst = bertlv.Append(dst, tagKeyType, []byte{keyTypeAES})
	dst = bertlv.Append(dst, tagKeyLength, []byte{keyLength})
	dst = bertlv.Append(dst, tagHostID, hostID)
	return bertlv.Append(dst, tagPoint, point)
}

// signedBytes is what smdpSign is over: the members as they are sent and, though
// it is not sent, the eUICC's one-time key.
func signedBytes(members, euiccPoint []byte) []byte {
	return bertlv.Append(bytes.Clone(members), tagPoint, euiccPoint)
}

// parseChannel accepts exactly the members of SGP.22: one more could be outside
// of the signature.
func parseChannel(t bertlv.TLV, euiccPoint []byte) (*channel, error) {
	members, err := exactly(t, tagChannel, tagRemoteOp, tagTxID, tagCRT, tagPoint, tagSignature)
	if err != nil {
		return nil, err
	}
	crt, err := exactly(members[2], tagCRT, tagKeyType, tagKeyLength, tagHostID)
	if err != nil {
		return nil, err
	}
	signature := members[4]
	if !shortest(t) || !shortest(signature) {
		return nil, fmt.Errorf("%w: a length in a longer form than need be", ErrStructure)
	}
	return &channel{
		remoteOp: members[0].Value, txID: members[1].Value, point: members[3].Value,
		keyType: crt[0].Value, keyLength: crt[1].Value, hostID: crt[2].Value,
		signature: signature.Value,
		signed:    signedBytes(t.Value[:len(t.Value)-len(signature.Raw)], euiccPoint),
	}, nil
}

// exactly returns the children of t where they have these tags in this order.
func exactly(t bertlv.TLV, tag bertlv.Tag, tags ...bertlv.Tag) ([]bertlv.TLV, error) {
	if t.Tag != tag {
		return nil, fmt.Errorf("%w: %v in place of %v", ErrStructure, t.Tag, tag)
	}
	rest := t.Value
	children := make([]bertlv.TLV, len(tags))
	for i, want := range tags {
		var err error
		if children[i], rest, err = bertlv.Read(rest); err != nil {
			return nil, fmt.Errorf("%w: %v needs %v: %w", ErrStructure, tag, want, err)
		}
		if children[i].Tag != want {
			return nil, fmt.Errorf("%w: %v has %v in place of %v", ErrStructure, tag, children[i].Tag, want)
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: bytes follow in %v", ErrStructure, tag)
	}
	return children, nil
}

// shortest reports whether the length of t has the form that DER wants.
func shortest(t bertlv.TLV) bool {
	return len(t.Raw) == headerSize(t.Tag, len(t.Value))+len(t.Value)
}
