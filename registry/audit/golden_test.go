package audit_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/iotregistry/sdk/registry/audit"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata anew")

const golden = "testdata/trail.jsonl"

// goldenTrail is what testdata holds: both kinds of key, an unsealed end.
func goldenTrail(t *testing.T) (*trail, []crypto.Signer) {
	t.Helper()
	keys := []crypto.Signer{p256Key(t, "golden P-256"), ed25519Key("golden Ed25519")}
	tr := newTrail(t)
	tr.head(keys[0])
	tr.entries(2).head(keys[0])
	tr.raw(`{"later_member":{"x":[1,2.50,"<raw>"]},"time":"2026-01-02T03:04:05.000000001Z","op":"\u003c\/"}`)
	tr.head(keys[1])
	tr.entries(1)
	return tr, keys
}

// The format must never change: trails are kept for years. Not parallel, so
// that -update has written before others read.
func TestGoldenTrail(t *testing.T) {
	tr, keys := goldenTrail(t)
	files := map[string]string{golden: tr.String(), "testdata/p256.pem": publicPEM(t, keys[0]), "testdata/ed25519.pem": publicPEM(t, keys[1])}
	for file, want := range files {
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
		}
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, want, string(got), file)
	}
	report, err := verify(audit.Verifier{Log: zone, Keys: []crypto.PublicKey{keys[0].Public(), keys[1].Public()}}, tr.String())
	require.NoError(t, err)
	require.Equal(t, []uint64{4, 3, 3}, []uint64{report.Lines, report.Verified, report.SignedThrough})
}

func publicPEM(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// readGolden takes the golden file apart with none of the package's code, by
// what the package comment says.
func readGolden(t *testing.T) (preimages [][]byte, hashes []string, heads []map[string]any) {
	t.Helper()
	file, err := os.ReadFile(golden)
	require.NoError(t, err)
	before := strings.Repeat("00", 32)
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, `{"head":`) {
			var outer map[string]map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &outer))
			heads = append(heads, outer["head"])
			continue
		}
		_, entry, _ := strings.Cut(line, `,"entry":`)
		entry = strings.TrimSuffix(entry, "}")
		number, err := hex.DecodeString(before + fmt.Sprintf("%016x", len(hashes)+1))
		require.NoError(t, err)
		preimages = append(preimages, []byte("iotreg audit entry v1\n"+string(number)+entry))
		_, hash, _ := strings.Cut(line, `"hash":"`)
		before = hash[:64]
		hashes = append(hashes, before)
	}
	require.Len(t, hashes, 4)
	require.Len(t, heads, 3)
	return preimages, hashes, heads
}

func TestIndependentRecomputationAgrees(t *testing.T) {
	t.Parallel()
	preimages, hashes, _ := readGolden(t)
	for i, b := range preimages {
		require.Equal(t, hashes[i], fmt.Sprintf("%x", sha256.Sum256(b)), "entry %d", i+1)
	}
}

func TestOpenSSLAgrees(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	preimages, hashes, heads := readGolden(t)
	for i, b := range preimages {
		require.Contains(t, openssl(t, b, "dgst", "-sha256"), hashes[i], "entry %d", i+1)
	}
	for i, h := range heads {
		key := []string{"testdata/p256.pem", "testdata/p256.pem", "testdata/ed25519.pem"}[i]
		der := openssl(t, nil, "pkey", "-pubin", "-in", key, "-outform", "DER")
		require.Contains(t, openssl(t, []byte(der), "dgst", "-sha256"), h["key"])
		require.Regexp(t, "Verified OK|Verified Successfully", opensslVerify(t, key, h))
	}
}

// opensslVerify runs the commands of the package comment.
func opensslVerify(t *testing.T, key string, h map[string]any) string {
	t.Helper()
	var sig []byte
	require.NoError(t, json.Unmarshal(fmt.Appendf(nil, "%q", h["signature"]), &sig))
	when := strings.TrimSuffix(h["time"].(string), "Z") + ".000Z" // all golden times are whole seconds
	text := fmt.Sprintf("iotreg audit head v1\n%s\n%.0f\n%s\n%s\n", h["log"], h["seq"], h["hash"], when)
	dir := t.TempDir()
	textFile, sigFile := filepath.Join(dir, "head.txt"), filepath.Join(dir, "head.sig")
	require.NoError(t, os.WriteFile(textFile, []byte(text), 0o600))
	require.NoError(t, os.WriteFile(sigFile, sig, 0o600))
	if strings.Contains(key, "p256") {
		return openssl(t, nil, "dgst", "-sha256", "-verify", key, "-signature", sigFile, textFile)
	}
	return openssl(t, nil, "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in", textFile, "-sigfile", sigFile)
}

func openssl(t *testing.T, input []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Stdin = bytes.NewReader(input)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	require.NoError(t, err, "openssl %v: %s%s", args, out, &problems)
	return string(out)
}
