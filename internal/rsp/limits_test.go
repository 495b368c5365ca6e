package rsp_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

func TestEverythingIsBounded(t *testing.T) {
	t.Parallel()
	metadata, err := rsp.Encode(&rsp.NotificationMetadata{Address: "a"})
	require.NoError(t, err)
	channel, err := rsp.Encode(find(t, any1[rsp.InitialiseSecureChannelRequest]))
	require.NoError(t, err)
	segments := func(n int) []byte { return bytes.Repeat([]byte{0x86, 1, 0}, n) }
	bpp := func(profile []byte) []byte {
		return bertlv.Append(nil, 0xBF36, channel, []byte{0xA0, 0, 0xA1, 0}, bertlv.Append(nil, 0xA3, profile))
	}
	list := func(n int) []byte {
		return bertlv.Append(nil, 0xBF28, bertlv.Append(nil, 0xA0, bytes.Repeat(metadata, n)))
	}
	nested := []byte{0x30, 0}
	for range bertlv.MaxDepth + 1 {
		nested = bertlv.Append(nil, 0x30, nested)
	}
	for _, c := range []struct {
		rule, message string
		in            []byte
		good          bool
	}{
		{"as many segments as may be", "BoundProfilePackage", bpp(segments(4096)), true},
		{"one segment more", "BoundProfilePackage", bpp(segments(4097)), false},
		{"segment of osmo-smdpp's size", "BoundProfilePackage", bpp(bertlv.Append(nil, 0x86, make([]byte, 1032))), true},
		{"segment beyond all sizes", "BoundProfilePackage", bpp(bertlv.Append(nil, 0x86, make([]byte, rsp.MaxSegment))), false},
		{"as many notifications as may be", "ListNotificationResponse", list(rsp.MaxNotifications), true},
		{"one notification more", "ListNotificationResponse", list(rsp.MaxNotifications + 1), false},
		{"message too large", "GetEUICCChallengeRequest", bertlv.Append(nil, 0xBF2E, bertlv.Append(nil, 0x81, make([]byte, rsp.MaxMessage))), false},
		{"package too large", "BoundProfilePackage", make([]byte, rsp.MaxPackage+1), false},
		{"nested too deeply", "GetEUICCChallengeRequest", bertlv.Append(nil, 0xBF2E, nested), false},
		{"length of five bytes", "GetEUICCChallengeRequest", []byte{0xBF, 0x2E, 0x84, 0xFF, 0xFF, 0xFF, 0xFF}, false},
		{"one-time key of 61 bytes", "EUICCSigned2", bertlv.Append(nil, 0x30, []byte{0x80, 1, 1}, bertlv.Append(nil, 0x5F49, make([]byte, 61))), false},
		{
			"certificate too large", "OtherSignedNotification",
			bertlv.Append(nil, 0x30, metadata, bertlv.Append(nil, 0x5F37, make([]byte, 64)), bertlv.Append(nil, 0x30, bertlv.Append(nil, 4, make([]byte, 17<<10))), []byte{0x30, 0}), false,
		},
	} {
		m, err := decoders()[c.message](c.in)
		if !c.good {
			require.ErrorIs(t, err, rsp.ErrFormat, c.rule)
			continue
		}
		require.NoError(t, err, c.rule)
		b, err := rsp.Encode(m)
		require.NoError(t, err, c.rule)
		require.Equal(t, c.in, b, c.rule)
	}
}

// The protected parts of the reference's known-answer session, in a package whose
// other parts are from here.
func TestKnownAnswerPackage(t *testing.T) {
	t.Parallel()
	channel, err := rsp.Encode(find(t, any1[rsp.InitialiseSecureChannelRequest]))
	require.NoError(t, err)
	a0 := unhex(t, "a01a8718bc43d09ef085954b55e4acdbb87b6649813b5db57a02d5c9")
	a1 := unhex(t, "a13c883abf252f5a0a98001032547698103214910965756963632d727370921665756963632d72737020746573742070726f66696c65828551c5821b722d")
	p, err := rsp.Decode[rsp.BoundProfilePackage](bertlv.Append(nil, 0xBF36, channel, a0, a1, []byte{0xA3, 0}))
	require.NoError(t, err)
	pieces, err := p.Segments()
	require.NoError(t, err)
	require.Equal(t, a0, pieces[1])
	require.Equal(t, a1[:2], pieces[2])
	require.Equal(t, a1[2:], pieces[3])
	mac := len(p.StoreMetadata[0]) - 8
	metadata, err := rsp.Decode[rsp.StoreMetadataRequest](p.StoreMetadata[0][2:mac])
	require.NoError(t, err)
	require.Equal(t, "euicc-rsp test profile", metadata.ProfileName)
}

// What is decoded does not change when its caller uses the buffer again.
func TestDecodeSharesNothing(t *testing.T) {
	t.Parallel()
	b := unhex(t, "bf41068001018101 00")
	m, err := rsp.Decode[rsp.CancelSessionRequest](b)
	require.NoError(t, err)
	clear(b)
	require.Equal(t, rsp.TransactionID{1}, m.TransactionID)
	require.Equal(t, unhex(t, "bf4106800101810100"), m.Raw)
}

func ExampleDecode() {
	b := []byte{0xBF, 0x41, 0x07, 0x80, 0x02, 0x01, 0xAB, 0x81, 0x01, 0x04}
	m, err := rsp.Decode[rsp.CancelSessionRequest](b)
	if err != nil {
		fmt.Println(err)
		return
	}
	status, terminal := m.Reason.Status()
	fmt.Println(m.TransactionID, m.Reason, status, terminal)

	_, err = rsp.Decode[rsp.CancelSessionRequest](b[:9])
	fmt.Println(err != nil)
	// Output:
	// 01AB metadataMismatch 8.2.9/3.11 true
	// true
}
