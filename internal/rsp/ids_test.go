package rsp_test

import (
	"encoding/asn1"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func TestTransactionID(t *testing.T) {
	t.Parallel()
	id, err := rsp.ParseTransactionID("01AB")
	require.NoError(t, err)
	require.Equal(t, "01AB", id.String())
	for _, s := range []string{"", "0", "01ab", "XY", strings.Repeat("00", 17)} {
		_, err := rsp.ParseTransactionID(s)
		require.ErrorIs(t, err, rsp.ErrFormat, s)
	}
}

func TestEID(t *testing.T) {
	t.Parallel()
	id, err := rsp.ParseEID("89049032123451234512345678901235")
	require.NoError(t, err)
	require.Equal(t, "89049032123451234512345678901235", id.String())
	for _, s := range []string{"", "8904", strings.Repeat("a", 32), strings.Repeat("1", 33)} {
		_, err := rsp.ParseEID(s)
		require.ErrorIs(t, err, rsp.ErrFormat, s)
	}
}

func TestICCIDOnTheWire(t *testing.T) {
	t.Parallel()
	for id, wire := range map[rsp.ICCID]string{
		"89000123456789012341": "98001032547698103214",
		"8944476500001224158":  "984474560000214251f8",
		"894447650000122415":   "984474560000214251ff",
	} {
		b, err := rsp.Encode(&rsp.SetNicknameRequest{ICCID: id})
		require.NoError(t, err)
		require.Equal(t, "bf290e5a0a"+wire+"9000", hexOf(b))
	}
}

// encoding/asn1 writes the same object identifiers.
func TestOID(t *testing.T) {
	t.Parallel()
	for s, arcs := range map[rsp.OID]asn1.ObjectIdentifier{
		"2.999.10": {2, 999, 10}, "2.23.146.1.2.1.4": {2, 23, 146, 1, 2, 1, 4}, "0.0": {0, 0}, "1.39.128": {1, 39, 128},
		"1.3.6.1.4.1.2147483647": {1, 3, 6, 1, 4, 1, 2147483647}, "2.0": {2, 0}, "2.47": {2, 47}, "2.48": {2, 48},
	} {
		want, err := asn1.Marshal(arcs)
		require.NoError(t, err)
		b, err := rsp.Encode(&rsp.ConfigureISDPRequest{Proprietary: &rsp.DPProprietaryData{OID: s}})
		require.NoError(t, err, s)
		require.Equal(t, bertlv.Append(nil, 0x80, want[2:]), b[5:], s)
		got, err := rsp.DecodeOID(want[2:])
		require.NoError(t, err)
		require.Equal(t, s, got)
		_, err = rsp.ParseOID(string(s))
		require.NoError(t, err)
	}
	for _, s := range []string{"", "2", "3.1", "1.40", "2.01", "2.-1", "2.999.", "2.4611686018427387824", "1.3." + strings.Repeat("1.", 70) + "1"} {
		_, err := rsp.ParseOID(s)
		require.ErrorIs(t, err, rsp.ErrFormat, s)
	}
}

func FuzzOID(f *testing.F) {
	f.Add("2.999.10", []byte{0x88, 0x37, 0x0A})
	f.Add("1.39.4611686018427387903", []byte{0xBF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F})
	f.Fuzz(func(t *testing.T, s string, b []byte) {
		if id, err := rsp.DecodeOID(b); err == nil {
			_, err := rsp.ParseOID(string(id))
			require.NoError(t, err, "what is read can be written")
			written, err := rsp.Encode(&rsp.NonStandard{Issuer: id})
			require.NoError(t, err)
			require.Contains(t, string(written), string(bertlv.Append(nil, 0x81, b)))
		}
		id, err := rsp.ParseOID(s)
		if err != nil {
			return
		}
		written, err := rsp.Encode(&rsp.NonStandard{Issuer: id})
		require.NoError(t, err)
		got, err := rsp.Decode[rsp.NonStandard](written)
		require.NoError(t, err)
		require.Equal(t, id, got.Issuer)
	})
}

func FuzzIDs(f *testing.F) {
	f.Add("01AB")
	f.Add("89049032123451234512345678901235")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := rsp.ParseTransactionID(s); err == nil {
			require.Equal(t, s, id.String())
		}
		if id, err := rsp.ParseEID(s); err == nil {
			require.Equal(t, s, id.String())
		}
	})
}
