package bsp

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// Tags of the blocks of a bound profile package (SGP.22 section 2.5.4).
const (
	TagProfile  bertlv.Tag = 0x86 // encrypted: a part of the profile
	TagCommand  bertlv.Tag = 0x87 // encrypted: ConfigureISDP, then ReplaceSessionKeys
	TagMetadata bertlv.Tag = 0x88 // authenticated only: a part of StoreMetadata
)

// Sizes of blocks, in bytes.
const (
	// MaxBlock is the longest block that is emitted, its tag, length and MAC
	// included (SGP.22 section 2.5.4).
	MaxBlock = 1020
	// MaxPlain is what fits into an encrypted block: one byte more needs
	// another 16 bytes of padding.
	MaxPlain = 1007
	// MaxClear is what fits into a block that is authenticated only.
	MaxClear = MaxBlock - blockHeader - macSize
	// MaxAccepted is the longest block that is opened. There are SM-DP+ that
	// fill blocks with 1008 bytes and so exceed MaxBlock by 16.
	MaxAccepted = 1036
)

const (
	macSize     = 8
	blockHeader = 4 // the tag and a length of three bytes
)

// stage says which blocks may come next.
type stage uint8

const (
	atStart  stage = iota
	atMeta         // configured, the metadata comes
	inMeta         // more metadata, new keys or the profile come
	replaced       // new keys in place
	inProfile
)

// next returns the stage after a block with this tag, and the command that the
// block belongs to.
func (s stage) next(tag bertlv.Tag) (after stage, command Command, ok bool) {
	switch {
	case s == atStart:
		return atMeta, ConfigureISDP, tag == TagCommand
	case s == atMeta, s == inMeta && tag == TagMetadata:
		return inMeta, StoreMetadata, tag == TagMetadata
	case s == inMeta && tag == TagCommand:
		return replaced, ReplaceSessionKeys, true
	default:
		return inProfile, LoadProfileElements, tag == TagProfile
	}
}

// chain is what both ends of a session keep between blocks. The zero chain has
// no keys.
type chain struct {
	enc   cipher.Block
	mac   *cmac
	mcv   [16]byte // MAC chaining value: the whole MAC of the last block
	icv   [16]byte // scratch: the initial chaining vector of the block at hand
	count uint64   // blocks so far, also those that are authenticated only
	stage stage
}

// setKeys starts to count anew.
func (c *chain) setKeys(k Keys) {
	c.enc, c.mac, c.mcv, c.count = newAES(k.SEnc), newCMAC(k.SMac), k.MCV, 0
}

// clear forgets the keys as far as the standard library lets it.
func (c *chain) clear() { *c = chain{stage: c.stage} }

// begin counts the next block and makes its initial chaining vector.
func (c *chain) begin() {
	c.count++
	c.icv = [16]byte{}
	binary.BigEndian.PutUint64(c.icv[8:], c.count)
	c.enc.Encrypt(c.icv[:], c.icv[:])
}

// authenticate makes the chaining value that of a block without its MAC, and
// returns the MAC.
func (c *chain) authenticate(block []byte) []byte {
	c.mac.block.Encrypt(c.mcv[:], c.mcv[:])
	c.mac.finish(&c.mcv, block)
	return c.mcv[:macSize]
}

// blockSize is the length of a block that carries n bytes.
func blockSize(tag bertlv.Tag, n int) int {
	if tag != TagMetadata {
		n = padded(n)
	}
	return headerSize(tag, n+macSize) + n + macSize
}

// padded is the length of n bytes with 80 00... up to a whole number of AES
// blocks; there is always at least the 80.
func padded(n int) int { return n - n%16 + 16 }

func headerSize(tag bertlv.Tag, n int) int {
	var b [8]byte
	return len(bertlv.AppendHeader(b[:0], tag, n))
}

// blocksSize is the length of the blocks that n bytes are spread over.
func blocksSize(tag bertlv.Tag, n int) int {
	most := maxPart(tag)
	size := n / most * blockSize(tag, most)
	if rest := n % most; rest > 0 {
		size += blockSize(tag, rest)
	}
	return size
}

func maxPart(tag bertlv.Tag) int {
	if tag == TagMetadata {
		return MaxClear
	}
	return MaxPlain
}

// Content of ReplaceSessionKeysRequest (SGP.22 section 5.5.4).
const (
	tagReplaceKeys bertlv.Tag = 0xBF26
	tagMCV         bertlv.Tag = 0x80
	tagPPKEnc      bertlv.Tag = 0x81
	tagPPKCmac     bertlv.Tag = 0x82
)

// replaceKeysSize is the length of what appendReplaceKeys appends.
const replaceKeysSize = 3 + 3*(2+keyLength)

func appendReplaceKeys(dst []byte, k *Keys) []byte {
	dst = bertlv.AppendHeader(dst, tagReplaceKeys, replaceKeysSize-3)
	dst = bertlv.Append(dst, tagMCV, k.MCV[:])
	dst = bertlv.Append(dst, tagPPKEnc, k.SEnc[:])
	return bertlv.Append(dst, tagPPKCmac, k.SMac[:])
}

// parseReplaceKeys skips members it does not know.
func parseReplaceKeys(b []byte) (Keys, error) {
	var k Keys
	request, err := bertlv.Parse(b)
	if err != nil || request.Tag != tagReplaceKeys {
		return Keys{}, fmt.Errorf("%w: not a ReplaceSessionKeysRequest", ErrStructure)
	}
	for tag, to := range map[bertlv.Tag]*[16]byte{tagMCV: &k.MCV, tagPPKEnc: &k.SEnc, tagPPKCmac: &k.SMac} {
		member, err := request.Find(tag)
		if err != nil || len(member.Value) != keyLength {
			return Keys{}, fmt.Errorf("%w: ReplaceSessionKeysRequest needs 16 bytes in %v", ErrStructure, tag)
		}
		copy(to[:], member.Value)
	}
	return k, nil
}
