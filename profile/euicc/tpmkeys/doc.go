// Package tpmkeys keeps a device's keys in a TPM 2.0, which computes with them
// and never lets them out. There are two: one agrees on keys, so that profiles
// sealed to the device open inside the TPM, and one signs, for TLS or as
// SK.EUICC.
//
//	tpm, err := tpmkeys.OpenDevice("/dev/tpmrm0", tpmkeys.Options{})
//	keys, err := tpm.CreateKeys("/var/lib/device/keys.pem") // once; LoadKeys ever after
//	key, err := hpke.NewDHKEMPrivateKey(keys.Agreement)
//	card, err := euicc.New(euicc.Config{ID: id, Key: key, Registry: "iotregistry.ca"})
//
// # Where the keys are
//
// Nothing is written into the TPM's own memory. A file holds the keys, wrapped
// by the TPM's storage primary (ECC P-256), which the TPM derives anew when it is
// asked to. They are TPM 2.0 key files (draft-bottomley-tpm2-keys), so that
// OpenSSL's TPM provider can use them too. The file is
// useless without that TPM, and lost with it: where the TPM is cleared, the
// device needs new keys, and its maker has to vouch for them again. The file is
// not secret, but whoever can read it and use the TPM can use the keys; an auth
// value (Options.Auth) asks for more than that.
//
// # What goes over the bus
//
// All commands go through sessions that are salted with the storage primary:
// shared secrets are encrypted between TPM and process, auth values are not
// sent, and answers are authentic. A session can only be as good as the primary
// that salts it, so the file names the one that its keys were made under, and
// another one is refused before a key is used.
//
// # Sharing
//
// The kernel's resource manager, /dev/tpmrm0, lets several programs use one TPM.
// With /dev/tpm0, or a socket without such a manager, a [TPM] must be the only
// user. A TPM that was reset or restarted meanwhile gets its keys loaded again.
package tpmkeys
