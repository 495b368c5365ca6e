package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// maxRecords is the largest record set that is looked at. Real sets hold a
// handful; draft-carter-high-assurance-dids-with-dns stops at the same number.
const maxRecords = 255

// tlsaRecord is a usable TLSA record with its data decoded.
type tlsaRecord struct {
	*dns.TLSA
	usage uint8 // as read; may differ from the record's, see rules
	data  []byte
}

// usableTLSA decodes the records and keeps those that RFC 7671 section 4 calls
// usable, less those that digest agility sets aside. The error says why the
// first of the others was dropped; it is for the message when none is left.
func usableTLSA(rrs []*dns.TLSA, read func(usage uint8) (uint8, error)) ([]tlsaRecord, error) {
	if len(rrs) > maxRecords {
		return nil, fmt.Errorf("%d TLSA records; at most %d are looked at", len(rrs), maxRecords)
	}
	var first error
	recs := make([]tlsaRecord, 0, len(rrs))
	for _, rr := range rrs {
		data, err := decodeTLSA(rr)
		var usage uint8
		if err == nil {
			usage, err = read(rr.Usage)
		}
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		recs = append(recs, tlsaRecord{rr, usage, data})
	}
	return agile(recs), first
}

// decodeTLSA returns the record's certificate association data, or why the
// record is unusable.
func decodeTLSA(rr *dns.TLSA) ([]byte, error) {
	if rr == nil {
		return nil, errors.New("nil TLSA record")
	}
	what := fmt.Sprintf("TLSA %d %d %d", rr.Usage, rr.Selector, rr.MatchingType)
	if rr.Usage > UsageDANEEE || rr.Selector > SelectorSPKI || rr.MatchingType > MatchingSHA512 {
		return nil, fmt.Errorf("%s: unknown usage, selector or matching type", what)
	}
	data, err := hex.DecodeString(rr.Certificate)
	if err != nil {
		return nil, fmt.Errorf("%s: data is not hexadecimal: %w", what, err)
	}
	if want := digestLength(rr.MatchingType); len(data) == 0 || want != 0 && len(data) != want {
		return nil, fmt.Errorf("%s: %d octets of data, want %d", what, len(data), want)
	}
	if rr.MatchingType == MatchingFull && rr.Usage == UsageDANETA {
		// Such a record can itself be the trust anchor, so it has to parse.
		if rr.Selector == SelectorCert {
			_, err = x509.ParseCertificate(data)
		} else {
			_, err = x509.ParsePKIXPublicKey(data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	return data, nil
}

func digestLength(matching uint8) int {
	switch matching {
	case MatchingSHA256:
		return sha256.Size
	case MatchingSHA512:
		return sha512.Size
	}
	return 0
}

// agile applies RFC 7671 section 9: for each usage and selector only the
// strongest digest counts; records with the full data always do.
func agile(recs []tlsaRecord) []tlsaRecord {
	var strongest [4][2]uint8
	for _, r := range recs {
		s := &strongest[r.usage][r.Selector]
		*s = max(*s, r.MatchingType)
	}
	kept := recs[:0]
	for _, r := range recs {
		if r.MatchingType == MatchingFull || r.MatchingType == strongest[r.usage][r.Selector] {
			kept = append(kept, r)
		}
	}
	return kept
}

// candidate is a certificate to match records against; it remembers the
// digests, so that 255 records cost no more than four of them.
type candidate struct {
	cert   *x509.Certificate
	digest [2][3][]byte // by selector and matching type
}

func (c *candidate) matches(r tlsaRecord) bool {
	d := &c.digest[r.Selector][r.MatchingType]
	if *d == nil {
		*d = selected(c.cert, r.Selector, r.MatchingType)
	}
	return bytes.Equal(*d, r.data)
}
