//go:build !(cgo && tpmsimulator)

package tpmkeys_test

import "testing"

func newSimulator(t testing.TB) machine {
	t.Skip("the TPM simulator needs cgo, OpenSSL's headers (apt-get install libssl-dev) and -tags tpmsimulator")
	return nil
}
