package registry_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
)

// FuzzParseAuthCode: what is read at all shows itself to its owner only, and
// reads again as the same code.
func FuzzParseAuthCode(f *testing.F) {
	for _, s := range []string{
		"", "-", "ABCDE-FGHJK-MNPQR-STVWX-YZ012-3", "abcdefghjkmnpqrstvwxyz0123", "OIL00 00000 00000 00000 00000 0",
		strings.Repeat("U", 26), strings.Repeat("0", 65), "ıſ\xff\x00", "ABCDE-FGHJK-MNPQR-STVWX-YZ012-34",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		code, err := registry.ParseAuthCode(s)
		if err != nil {
			if !code.IsZero() || len(s) > 5 && strings.Contains(err.Error(), s) {
				t.Fatalf("%q: %v beside %q", s, err, code.Reveal())
			}
			return
		}
		again, err := registry.ParseAuthCode(code.Reveal())
		if err != nil || again.Reveal() != code.Reveal() {
			t.Fatalf("%q: %q, %q, %v", s, code.Reveal(), again.Reveal(), err)
		}
		if strings.Contains(code.String(), code.Reveal()[:5]) {
			t.Fatal("shown")
		}
	})
}

// FuzzReadCodes: an error never shows a code, and what is read can be used.
func FuzzReadCodes(f *testing.F) {
	f.Add("Device ID,Authorization Code\n1000000000000001,01234-56789-ABCDE-FGHJK-MNPQR-S\n")
	f.Add("authorization code,device id\n0123456789ABCDEFGHJKMNPQRS,1000000000000001\n\"")
	f.Fuzz(func(t *testing.T, list string) {
		rows, bad, err := registry.ReadCodes(strings.NewReader(list))
		for _, row := range rows {
			require.False(t, row.ID.IsZero())
			again, err := registry.ParseAuthCode(row.Code.Reveal())
			require.NoError(t, err)
			require.Equal(t, row.Code.Reveal(), again.Reveal())
		}
		for _, e := range bad {
			require.NotEmpty(t, e.Error())
		}
		if err != nil {
			require.Empty(t, rows)
		}
	})
}

// FuzzResult: what one side says about a device the other side reads as it was
// meant, whatever it is.
func FuzzResult(f *testing.F) {
	f.Add([]byte(`{"line":2,"device":"1000000000000001","profile":11,"code":1000}`))
	f.Add([]byte(`{"device":"77","code":2202,"error":{"op":"move","device":"77","kind":"auth-code","code":2202,"detail":"no"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var first, second registry.Result
		if json.Unmarshal(text, &first) != nil {
			return
		}
		again, err := json.Marshal(first)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(again, &second))
		require.Equal(t, registry.Kind(first.Err), registry.Kind(second.Err))
		require.Equal(t, registry.Code(first.Err), registry.Code(second.Err))
		require.Equal(t, first.Device, second.Device)
		require.Equal(t, first.ProfileID, second.ProfileID)
	})
}
