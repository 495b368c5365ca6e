package main

import (
	"crypto/ecdsa"
	"crypto/sha1" // how these key IDs are made, and no protection of anything
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
)

// testCIs are the key IDs of GSMA's test CI, whose private keys are published in
// SGP.26: the SHA-1 of the public point in each (RFC 5280 section 4.2.1.2, method
// 1). The first was computed from CERT_CI_ECDSA_NIST of SGP.26 version 1; the
// others are as public lists of eSIM roots have them.
func testCIs() []string {
	return []string{
		"f54172bdf98a95d65cbeb88a38a1c11d800a85c3", // SGP.26 version 1, NIST P-256
		"c0bc70ba36929d43b467ff57570530e57ab8fcd8", // SGP.26 version 1, Brainpool P256r1
		"34eecf13156518d48d30bdf06853404d115f955d", // SGP.26 version 3, NIST P-256
		"2209f61cd9ec5c9c854e787341ff83ecf9776a5b", // SGP.26 version 3, Brainpool P256r1
	}
}

// refuseTestCI returns an error if one of the CIs is the test CI, by its key ID
// or by its key.
func refuseTestCI(cis [][]byte) error {
	for _, der := range cis {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("ci.pem: %w", err)
		}
		ids := []string{hex.EncodeToString(c.SubjectKeyId)}
		if key, ok := c.PublicKey.(*ecdsa.PublicKey); ok {
			point, err := key.Bytes()
			if err != nil {
				return fmt.Errorf("ci.pem: %w", err)
			}
			sum := sha1.Sum(point)
			ids = append(ids, hex.EncodeToString(sum[:]))
		}
		for _, id := range ids {
			if slices.Contains(testCIs(), id) {
				return fmt.Errorf("ci.pem holds GSMA's test CI (SGP.26, key %s), whose private key is public: with -test-ci it is taken all the same, for tests", id)
			}
		}
	}
	return nil
}
