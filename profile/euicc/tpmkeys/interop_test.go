package tpmkeys_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/euicc/tpmkeys"
)

// The format of wrapped keys is not ours: OpenSSL signs with one in the TPM.
func TestOpenSSLUsesTheKey(t *testing.T) {
	t.Parallel()
	if !hasProvider() {
		t.Skip("OpenSSL has no provider for TPMs (apt-get install tpm2-openssl libtss2-tcti-swtpm0)")
	}
	m := newSWTPM(t)
	tpm, err := m.open(tpmkeys.Options{})
	require.NoError(t, err)
	s, err := tpm.NewSigner()
	require.NoError(t, err)
	require.NoError(t, tpm.Close()) // swtpm has one user at a time

	dir := t.TempDir()
	key, text, signed := filepath.Join(dir, "key.pem"), filepath.Join(dir, "text"), filepath.Join(dir, "signature")
	require.NoError(t, os.WriteFile(key, s.Wrapped(), 0o600))
	require.NoError(t, os.WriteFile(text, []byte("text"), 0o600))
	cmd := exec.Command("openssl", "dgst", "-provider", "tpm2", "-provider", "default", "-propquery", "?provider=tpm2",
		"-sha256", "-sign", key, "-out", signed, text)
	cmd.Env = append(os.Environ(), "TPM2OPENSSL_TCTI=swtpm:path="+m.path())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	signature, err := os.ReadFile(signed)
	require.NoError(t, err)
	digest := sha256.Sum256([]byte("text"))
	require.True(t, ecdsa.VerifyASN1(s.Public().(*ecdsa.PublicKey), digest[:], signature))
}

// hasProvider looks for the file, because the provider does not even list without
// a TPM.
func hasProvider() bool {
	out, err := exec.Command("openssl", "version", "-m").Output()
	if err != nil {
		return false
	}
	_, dir, _ := strings.Cut(string(out), `"`)
	dir, _, _ = strings.Cut(dir, `"`)
	_, err = os.Stat(filepath.Join(dir, "tpm2.so"))
	return err == nil
}
