package profiletest_test

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/profile/profiletest"
)

// hardware is a key behind an interface, as a TPM's or a card's is: crypto/hpke
// sees the agreement and not the key.
type hardware struct {
	*ecdh.PrivateKey
	agree func(own *ecdh.PrivateKey, peer *ecdh.PublicKey) ([]byte, error)
}

func (h *hardware) ECDH(peer *ecdh.PublicKey) ([]byte, error) { return h.agree(h.PrivateKey, peer) }

func newHardware(t *testing.T, key *ecdh.PrivateKey, agree func(*ecdh.PrivateKey, *ecdh.PublicKey) ([]byte, error)) hpke.PrivateKey {
	k, err := hpke.NewDHKEMPrivateKey(&hardware{key, agree})
	require.NoError(t, err)
	return k
}

func generate(t *testing.T) *ecdh.PrivateKey {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	return key
}

func TestKeyBehindAnInterface(t *testing.T) {
	t.Parallel()
	profiletest.RunKeySuite(t, func(t *testing.T) hpke.PrivateKey {
		return newHardware(t, generate(t), (*ecdh.PrivateKey).ECDH)
	})
}

// faults maps rules to back ends that break them.
var faults = map[string]func(t *testing.T) func(*testing.T) hpke.PrivateKey{
	"opens_what_is_sealed_to_it": func(*testing.T) func(*testing.T) hpke.PrivateKey {
		return func(t *testing.T) hpke.PrivateKey {
			return newHardware(t, generate(t), func(*ecdh.PrivateKey, *ecdh.PublicKey) ([]byte, error) {
				return make([]byte, 32), nil // does not compute anything
			})
		}
	},
	"opens_nothing_else": func(t *testing.T) func(*testing.T) hpke.PrivateKey {
		key := generate(t) // one for all devices
		return func(t *testing.T) hpke.PrivateKey { return newHardware(t, key, (*ecdh.PrivateKey).ECDH) }
	},
	"its_public_key_survives_as_text": func(*testing.T) func(*testing.T) hpke.PrivateKey {
		return func(t *testing.T) hpke.PrivateKey {
			other := generate(t)
			return newHardware(t, generate(t), func(_ *ecdh.PrivateKey, peer *ecdh.PublicKey) ([]byte, error) {
				return other.ECDH(peer) // shows one key and uses another
			})
		}
	},
	"opens_from_several_goroutines": func(*testing.T) func(*testing.T) hpke.PrivateKey {
		return func(t *testing.T) hpke.PrivateKey {
			var calls atomic.Int32
			return newHardware(t, generate(t), func(own *ecdh.PrivateKey, peer *ecdh.PublicKey) ([]byte, error) {
				if calls.Add(1) > 3 {
					return nil, errors.New("out of sessions")
				}
				return own.ECDH(peer)
			})
		}
	},
}

const faultVariable = "PROFILETEST_FAULT"

// TestSuiteNotices runs the suite against faulty back ends, each in a process of
// its own, and wants the rule about the fault to fail.
func TestSuiteNotices(t *testing.T) {
	if fault := faults[os.Getenv(faultVariable)]; fault != nil {
		profiletest.RunKeySuite(t, fault(t))
		return
	}
	t.Parallel()
	for rule := range faults {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSuiteNotices$")
			cmd.Env = append(os.Environ(), faultVariable+"="+rule)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "the suite took the fault:\n%s", out)
			require.True(t, strings.Contains(string(out), "--- FAIL: TestSuiteNotices/"+rule), "another rule failed:\n%s", out)
		})
	}
}
