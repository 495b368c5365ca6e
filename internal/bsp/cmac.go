package bsp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// CMAC returns the AES-CMAC of message under a 128-bit key (RFC 4493).
func CMAC(key [16]byte, message []byte) [16]byte {
	m := newCMAC(key)
	x := new([16]byte)
	m.finish(x, message)
	return *x
}

// cmac is a key made ready: the cipher and the two subkeys of RFC 4493 section
// 2.3.
type cmac struct {
	block  cipher.Block
	k1, k2 [16]byte
}

func newCMAC(key [16]byte) *cmac {
	m := &cmac{block: newAES(key)}
	m.block.Encrypt(m.k1[:], m.k1[:])
	double(&m.k1)
	m.k2 = m.k1
	double(&m.k2)
	return m
}

// newAES cannot fail: 16 bytes are always a key.
func newAES(key [16]byte) cipher.Block {
	block, _ := aes.NewCipher(key[:])
	return block
}

// double multiplies by x in GF(2^128), in constant time.
func double(k *[16]byte) {
	carry := byte(0)
	for i := 15; i >= 0; i-- {
		next := k[i] >> 7
		k[i] = k[i]<<1 | carry
		carry = next
	}
	k[15] ^= 0x87 & -carry
}

// finish takes the state after zero or more whole blocks, not the last ones of
// the message, and turns it into the MAC of these blocks and rest.
func (m *cmac) finish(x *[16]byte, rest []byte) {
	for len(rest) > 16 {
		subtle.XORBytes(x[:], x[:], rest[:16])
		m.block.Encrypt(x[:], x[:])
		rest = rest[16:]
	}
	subtle.XORBytes(x[:], x[:], rest)
	last := &m.k1
	if len(rest) < 16 {
		x[len(rest)] ^= 0x80
		last = &m.k2
	}
	subtle.XORBytes(x[:], x[:], last[:])
	m.block.Encrypt(x[:], x[:])
}
