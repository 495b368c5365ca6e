package rsp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/rsp"
)

func TestFieldsOfJSON(t *testing.T) {
	t.Parallel()
	b, err := rsp.EncodeSignature(fill(7, 64))
	require.NoError(t, err)
	require.Equal(t, append([]byte{0x5F, 0x37, 0x40}, fill(7, 64)...), b)
	signature, err := rsp.DecodeSignature(b)
	require.NoError(t, err)
	require.Equal(t, fill(7, 64), signature)
	b, err = rsp.EncodeKeyID(fill(1, 20))
	require.NoError(t, err)
	require.Equal(t, append([]byte{4, 0x14}, fill(1, 20)...), b)
	id, err := rsp.DecodeKeyID(b)
	require.NoError(t, err)
	require.Equal(t, fill(1, 20), id)

	_, err = rsp.EncodeSignature(fill(7, 70))
	require.ErrorIs(t, err, rsp.ErrFormat, "a signature in DER")
	_, err = rsp.EncodeKeyID(nil)
	require.ErrorIs(t, err, rsp.ErrFormat)
	for rule, in := range map[string]string{"nothing": "", "other tag": "0500", "cut short": "5F3740", "trailing": "04010100", "long length": "04810101", "empty": "0400"} {
		_, err := rsp.DecodeSignature(unhex(t, in))
		require.ErrorIs(t, err, rsp.ErrFormat, rule)
		_, err = rsp.DecodeKeyID(unhex(t, in))
		require.ErrorIs(t, err, rsp.ErrFormat, rule)
	}
}

func FuzzFields(f *testing.F) {
	f.Add(append([]byte{0x5F, 0x37, 0x40}, fill(7, 64)...))
	f.Add(append([]byte{4, 0x14}, fill(1, 20)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if signature, err := rsp.DecodeSignature(b); err == nil {
			again, err := rsp.EncodeSignature(signature)
			require.NoError(t, err)
			require.Equal(t, b, again)
		}
		if id, err := rsp.DecodeKeyID(b); err == nil {
			again, err := rsp.EncodeKeyID(id)
			require.NoError(t, err)
			require.Equal(t, b, again)
		}
	})
}
