package audit_test

import (
	"crypto"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/iotregistry/sdk/registry/audit"
)

// FuzzParseLine: what is read encodes to the same bytes, is JSON that other
// readers understand the same way, and can be sealed and verified.
func FuzzParseLine(f *testing.F) {
	file, err := os.ReadFile(golden)
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		f.Add([]byte(strings.TrimSuffix(line, "\n")))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := audit.ParseHead(b); err == nil && string(h.AppendJSON(nil)) != string(b) {
			t.Fatalf("head %q became %q", b, h.AppendJSON(nil))
		}
		line, err := audit.ParseLine(b)
		if err != nil {
			return
		}
		if got := line.AppendJSON(nil); string(got) != string(b) {
			t.Fatalf("%q became %q", b, got)
		}
		var std audit.Line
		if err := json.Unmarshal(b, &std); err != nil || std.Seq != line.Seq || std.Hash != line.Hash || string(std.Entry) != string(line.Entry) {
			t.Fatalf("%q: encoding/json reads %+v, %v", b, std, err)
		}
		var chain audit.Chain
		sealed := chain.Append(line.Entry)
		if _, err := verify(audit.Verifier{Log: zone}, string(sealed.AppendJSON(nil))); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzVerify replaces a part of a good export. Whatever is accepted then holds
// the very same entries.
func FuzzVerify(f *testing.F) {
	key := ed25519Key("fuzz")
	tr := newTrail(f).entries(2)
	tr.head(key)
	last := tr.entries(2).head(key)
	whole := tr.String()
	strict := audit.Verifier{Log: zone, Keys: []crypto.PublicKey{key.Public()}, RequireHead: true, AtLeast: &last}
	f.Add(uint16(0), uint16(0), []byte(nil))
	f.Add(uint16(0), uint16(len(whole)), []byte(nil))
	f.Add(uint16(0), uint16(len(whole)), []byte(whole))
	f.Add(uint16(len(tr.lines[0])+1), uint16(len(tr.lines[1])+1), []byte(nil))
	f.Add(uint16(len(tr.lines[0])+1), uint16(0), []byte(tr.lines[0]+"\n"))
	f.Add(uint16(len(whole)), uint16(0), []byte(newTrail(f).entries(5).lines[4]))
	f.Add(uint16(300), uint16(1), []byte("x"))
	f.Fuzz(func(t *testing.T, at, cut uint16, with []byte) {
		from := min(int(at), len(whole))
		to := min(from+int(cut), len(whole))
		changed := whole[:from] + string(with) + whole[to:]
		_, _ = verify(audit.Verifier{Log: zone}, changed)
		_, err := verify(strict, changed)
		switch {
		case err != nil && changed == whole:
			t.Fatal(err)
		case err == nil && !slices.Equal(entriesOf(changed), entriesOf(whole)):
			t.Fatalf("accepted: %q", changed)
		}
	})
}

// entriesOf returns the lines that are no heads.
func entriesOf(export string) []string {
	return slices.DeleteFunc(strings.Split(strings.TrimSuffix(export, "\n"), "\n"), func(line string) bool {
		return strings.HasPrefix(line, `{"head":`)
	})
}
