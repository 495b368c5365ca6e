package registry_test

import (
	"strings"
	"testing"

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
