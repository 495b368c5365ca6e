package bsp

import (
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// Limits of a package's parts, in bytes.
const (
	DefaultMaxProfile = 1 << 20 // the profile, unless another limit is set
	MaxMetadata       = 1 << 14 // StoreMetadataRequest
	maxMaxProfile     = 1 << 30
)

// ErrTransactionID means that a transaction ID does not have 1 to 16 bytes.
var ErrTransactionID = errors.New("a transaction ID has 1 to 16 bytes")

// Tags of a bound profile package and its parts (SGP.22 sections 2.5.4, 5.5).
const (
	tagPackage    bertlv.Tag = 0xBF36
	tagFirst87    bertlv.Tag = 0xA0
	tagAll88      bertlv.Tag = 0xA1
	tagSecond87   bertlv.Tag = 0xA2
	tagAll86      bertlv.Tag = 0xA3
	tagConfigure  bertlv.Tag = 0xBF24
	tagMetadataRq bertlv.Tag = 0xBF25
)

// Binding says for whom and for which session a profile is bound. TransactionID,
// HostID, EID, EUICCKey, Signer and Metadata are required.
type Binding struct {
	TransactionID []byte        // 1 to 16 bytes, as in ServerSigned1
	HostID        []byte        // the SM-DP+'s, 1 to 16 bytes
	EID           EID           // of the eUICC
	EUICCKey      []byte        // otPK.EUICC, an uncompressed point of 65 bytes
	Signer        crypto.Signer // SK.DPpb, ECDSA on P-256
	Metadata      []byte        // a whole StoreMetadataRequest (BF25), at most MaxMetadata bytes
	Configure     []byte        // a whole ConfigureISDPRequest (BF24), at most MaxPlain bytes; nil: an empty one
	ProfileKeys   *Keys         // profile protection keys, fresh random ones; nil: the profile is under the session's
	MaxProfile    int           // bytes; 0: DefaultMaxProfile

	// Key is otSK.DP, for this one package only; nil: made here and forgotten,
	// as it should be outside of tests.
	Key ecdh.KeyExchanger
	// Random is for the signature and a nil Key; nil: the system's.
	Random io.Reader
}

// Bind returns the bound profile package (BF36, DER) of the profile for one
// eUICC and one session. To send a package again after an interruption, keep it:
// binding anew makes other bytes. The errors are [ErrTransactionID],
// [ErrHostID], [ErrEID], [ErrPoint], [ErrCurve], [ErrSigner], [ErrSize],
// [ErrStructure] and those of the signer.
func Bind(b Binding, profile []byte) ([]byte, error) {
	if b.Configure == nil {
		b.Configure = bertlv.Append(nil, tagConfigure)
	}
	if err := b.check(profile); err != nil {
		return nil, err
	}
	if b.Key == nil {
		random := b.Random
		if random == nil {
			random = rand.Reader
		}
		key, err := ecdh.P256().GenerateKey(random)
		if err != nil {
			return nil, fmt.Errorf("bsp: make a one-time key: %w", err)
		}
		b.Key = key
	}
	keys, err := DeriveKeys(b.Key, b.EUICCKey, b.HostID, b.EID)
	if err != nil {
		return nil, err
	}
	defer keys.Clear()
	channel, err := b.channel()
	if err != nil {
		return nil, err
	}
	sealer := NewSealer(keys)
	defer sealer.Clear()
	return b.assemble(sealer, channel, profile)
}

func (b *Binding) check(profile []byte) error {
	if n := len(b.TransactionID); n < 1 || n > maxID {
		return fmt.Errorf("bsp: %w, not %d", ErrTransactionID, n)
	}
	if n := len(profile); n < 1 || n > profileLimit(b.MaxProfile) {
		return fmt.Errorf("bsp: a profile of %d bytes: %w", n, ErrSize)
	}
	if n := len(b.Metadata); n > MaxMetadata {
		return fmt.Errorf("bsp: metadata of %d bytes: %w", n, ErrSize)
	}
	if n := len(b.Configure); n > MaxPlain {
		return fmt.Errorf("bsp: ConfigureISDPRequest of %d bytes: %w", n, ErrSize)
	}
	if err := checkRequest(b.Metadata, tagMetadataRq); err != nil {
		return fmt.Errorf("bsp: metadata: %w", err)
	}
	if err := checkRequest(b.Configure, tagConfigure); err != nil {
		return fmt.Errorf("bsp: ConfigureISDPRequest: %w", err)
	}
	return nil
}

func profileLimit(n int) int {
	if n <= 0 {
		return DefaultMaxProfile
	}
	return min(n, maxMaxProfile)
}

// checkRequest demands one well-formed object with the tag. What is inside is
// not this package's matter.
func checkRequest(b []byte, tag bertlv.Tag) error {
	request, err := bertlv.Parse(b)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStructure, err)
	}
	if request.Tag != tag {
		return fmt.Errorf("%w: %v in place of %v", ErrStructure, request.Tag, tag)
	}
	return nil
}

// channel returns the whole InitialiseSecureChannelRequest.
func (b *Binding) channel() ([]byte, error) {
	members := appendChannelMembers(nil, b.TransactionID, b.HostID, b.Key.PublicKey().Bytes())
	signature, err := Sign(b.Random, b.Signer, signedBytes(members, b.EUICCKey))
	if err != nil {
		return nil, err
	}
	return bertlv.Append(nil, tagChannel, members, bertlv.Append(nil, tagSignature, signature)), nil
}

// assemble writes the package in one go: all lengths are known beforehand.
func (b *Binding) assemble(s *Sealer, channel, profile []byte) ([]byte, error) {
	sizes := map[bertlv.Tag]int{
		tagFirst87: blockSize(TagCommand, len(b.Configure)),
		tagAll88:   blocksSize(TagMetadata, len(b.Metadata)),
		tagAll86:   blocksSize(TagProfile, len(profile)),
	}
	if b.ProfileKeys != nil {
		sizes[tagSecond87] = blockSize(TagCommand, replaceKeysSize)
	}
	total := len(channel)
	for tag, size := range sizes {
		total += headerSize(tag, size) + size
	}
	out := make([]byte, 0, headerSize(tagPackage, total)+total)
	out = bertlv.AppendHeader(out, tagPackage, total)
	out = append(out, channel...)
	out, err := s.sealAll(bertlv.AppendHeader(out, tagFirst87, sizes[tagFirst87]), TagCommand, b.Configure)
	if err != nil {
		return nil, err
	}
	out, err = s.sealAll(bertlv.AppendHeader(out, tagAll88, sizes[tagAll88]), TagMetadata, b.Metadata)
	if err != nil {
		return nil, err
	}
	if b.ProfileKeys != nil {
		out, err = s.ReplaceKeys(bertlv.AppendHeader(out, tagSecond87, sizes[tagSecond87]), *b.ProfileKeys)
		if err != nil {
			return nil, err
		}
	}
	return s.sealAll(bertlv.AppendHeader(out, tagAll86, sizes[tagAll86]), TagProfile, profile)
}
