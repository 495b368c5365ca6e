// Package bsp is the cryptography of the bound profile package of GSMA SGP.22
// (sections 2.5, 2.6 and 5.5, annex G), which SGP.32 devices use unchanged: how
// an SM-DP+ protects a profile for one eUICC, and how the eUICC opens it.
//
// The SM-DP+ calls [Bind]; what takes the package to the card cuts it with
// [Segments]; the eUICC gives the segments to a [Reader] one by one. The parts
// they are made of can be used alone: [DeriveKeys], [Sealer], [Opener], [CMAC],
// [KDF], and the raw ECDSA signatures that SGP.22 has in place of ASN.1.
//
// Only NIST P-256 and AES-128 are known here, which is what SGP.22 demands of
// every eUICC and SM-DP+.
//
// # What is protected and what is not
//
// Each block's MAC covers the block and, through the chaining value, all blocks
// before it, so blocks cannot be changed, left out, repeated or reordered. There
// is no mark on the last one: whoever can rewrite the outer lengths can cut a
// package short between two blocks of the profile. The profile package has an
// end of its own (PE-End), and whoever installs it must demand that.
package bsp
