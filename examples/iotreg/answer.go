package main

import (
	"time"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/dnssec"
)

// answer is a dnssec.Result with field names that do not change.
type answer struct {
	Name          string    `json:"name"`
	Type          string    `json:"type"`
	Status        string    `json:"status"`
	Rcode         string    `json:"rcode"`
	Records       []string  `json:"records"`
	Expires       time.Time `json:"expires,omitzero"`
	ValidFrom     time.Time `json:"valid_from,omitzero"` // of all signatures
	ValidUntil    time.Time `json:"valid_until,omitzero"`
	Zones         []link    `json:"zones"`
	Queries       int       `json:"queries"`
	Verifications int       `json:"verifications"`
	Hashes        int       `json:"nsec3_hashes"`
}

// link is a dnssec.Zone in the same way.
type link struct {
	Zone    string       `json:"zone"`
	Status  string       `json:"status"`
	Reason  *reason      `json:"reason,omitempty"`
	Anchor  bool         `json:"anchor"`
	Cached  bool         `json:"cached"` // validated for an earlier question of the same command
	DS      []delegation `json:"ds"`
	Keys    []key        `json:"keys"`
	Expires time.Time    `json:"expires,omitzero"`
}

type delegation struct {
	Tag       uint16 `json:"tag"`
	Algorithm uint8  `json:"algorithm"`
	Digest    uint8  `json:"digest_type"`
	Matched   bool   `json:"matched"` // a key of the zone has this digest and signs the key set
}

type key struct {
	Tag       uint16 `json:"tag"`
	Algorithm uint8  `json:"algorithm"`
	Flags     uint16 `json:"flags"`
	Used      bool   `json:"used"` // a signature made with it was checked
}

func newAnswer(name string, qtype uint16, res *dnssec.Result) *answer {
	a := &answer{
		Name: name, Type: dns.Type(qtype).String(), Status: res.Status.String(), Rcode: dns.RcodeToString[res.Rcode],
		Records: []string{}, Zones: []link{},
		Expires: utc(res.Expires), ValidFrom: utc(res.ValidFrom), ValidUntil: utc(res.ValidUntil),
		Queries: res.Queries, Verifications: res.Verifications, Hashes: res.Hashes,
	}
	for _, rr := range res.RRs {
		a.Records = append(a.Records, rr.String())
	}
	for _, z := range res.Zones {
		a.Zones = append(a.Zones, newLink(z))
	}
	return a
}

func newLink(z dnssec.Zone) link {
	l := link{
		Zone: z.Name, Status: z.Status.String(), Reason: newReason(z.Reason), Anchor: z.Anchor, Cached: z.Cached,
		DS: []delegation{}, Keys: []key{}, Expires: utc(z.Expires),
	}
	for _, ds := range z.DS {
		l.DS = append(l.DS, delegation{ds.KeyTag, ds.Algorithm, ds.DigestType, ds.Matched})
	}
	for _, k := range z.Keys {
		l.Keys = append(l.Keys, key{k.KeyTag, k.Algorithm, k.Flags, k.Used})
	}
	return l
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
