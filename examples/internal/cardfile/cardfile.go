// Package cardfile reads and writes the identity of a simulated eUICC: one JSON
// file with its certificates and its private keys, made by "mno euicc" and put
// into a device by "device -card". A real eUICC is made with all of this inside
// and gives none of its keys away; here they are as safe as the file.
package cardfile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/registry/eid"
)

// maxFile bounds a card's file; with a few certificates it has some kilobytes.
const maxFile = 256 << 10

// ErrCard means that a file is no card's.
var ErrCard = errors.New("no card")

// Card is what an eUICC is made with. Certificates are DER, keys PKCS #8.
type Card struct {
	EID         eid.ID   `json:"eid"`
	Certificate []byte   `json:"certificate"` // CERT.EUICC
	EUM         []byte   `json:"eum"`         // CERT.EUM
	CIs         [][]byte `json:"cis"`         // whose SM-DP+s it trusts
	Key         Key      `json:"key"`         // SK.EUICC
	Agreement   Key      `json:"agreementKey,omitempty"`
	SMDP        string   `json:"smdp,omitempty"` // default SM-DP+

	// EIM is where the eIM is that the eUICC obeys, a name with or without a port,
	// and EIMConfiguration what the eUICC knows of it (EimConfigurationData of
	// SGP.32, DER). Both are empty where there is none.
	EIM              string `json:"eim,omitempty"`
	EIMConfiguration []byte `json:"eimConfiguration,omitempty"`
}

// Key is a private key, which shows itself in the card's file only.
type Key []byte

// Format writes a placeholder, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[key]") }

// Signer returns the key that authenticates the eUICC.
func (c *Card) Signer() (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(c.Key)
	if err != nil { // the parser's text may quote the key
		return nil, fmt.Errorf("%w: key is no PKCS #8", ErrCard)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: key is not for ECDSA", ErrCard)
	}
	return signer, nil
}

// Opener returns the key that IoT profiles are sealed to, nil for none.
func (c *Card) Opener() (hpke.PrivateKey, error) {
	if len(c.Agreement) == 0 {
		return nil, nil
	}
	bad := fmt.Errorf("%w: agreementKey is no P-256 key in PKCS #8", ErrCard)
	key, err := x509.ParsePKCS8PrivateKey(c.Agreement)
	if err != nil {
		return nil, bad
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, bad
	}
	agree, err := signer.ECDH()
	if err != nil {
		return nil, bad
	}
	opener, err := hpke.NewDHKEMPrivateKey(agree)
	if err != nil {
		return nil, bad
	}
	return opener, nil
}

// Read reads a card. A file that others may read is refused.
func Read(path string) (*Card, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, and there are private keys in it: chmod 600 it", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	c, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse reads a card's JSON. Whether its parts belong together is for the eUICC
// to say.
func Parse(text []byte) (*Card, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%w: larger than 256 KiB", ErrCard)
	}
	c := new(Card)
	if err := strictjson.Decode(text, c, strictjson.Limits{Depth: 2, Names: 16, Elements: 16, Unknown: true}); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrCard, shape(err))
	}
	if c.EID.IsZero() || len(c.Certificate) == 0 || len(c.EUM) == 0 || len(c.CIs) == 0 || len(c.Key) == 0 {
		return nil, fmt.Errorf("%w: eid, certificate, eum, cis and key are all wanted: make one with mno euicc", ErrCard)
	}
	if (c.EIM == "") != (len(c.EIMConfiguration) == 0) {
		return nil, fmt.Errorf("%w: eim and eimConfiguration belong together", ErrCard)
	}
	return c, nil
}

// shape says what is wrong with a text without quoting it: there are keys in it.
func shape(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return "the member " + wrong.Field + " is of the wrong type"
	}
	return "it is not the JSON that mno euicc makes"
}

// Create writes a card to a new file of mode 0600. It never overwrites.
func (c *Card) Create(path string) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: name another file, or take it away", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// Replace writes a file of mode 0600 whole or not at all.
func Replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
