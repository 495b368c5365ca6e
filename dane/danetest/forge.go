package danetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/iotregistry/sdk/dane/publish"
	"github.com/miekg/dns"
)

// FlipSignature changes one bit in every signature.
func FlipSignature() Effect {
	return func(r *Reply) {
		r.signatures(func(sig *dns.RRSIG) {
			raw, _ := base64.StdEncoding.DecodeString(sig.Signature)
			raw[len(raw)/2] ^= 1
			sig.Signature = base64.StdEncoding.EncodeToString(raw)
		})
	}
}

func (r *Reply) signatures(f func(*dns.RRSIG)) {
	for _, rr := range slices.Concat(r.Msg.Answer, r.Msg.Ns) {
		if sig, ok := rr.(*dns.RRSIG); ok {
			f(sig)
		}
	}
}

// Lie changes the data of every record in the answer section and leaves the
// signatures as they are.
func Lie() Effect {
	return func(r *Reply) {
		for i, rr := range r.Msg.Answer {
			if rr.Header().Rrtype != dns.TypeRRSIG {
				r.Msg.Answer[i] = r.World.forge(rr)
			}
		}
	}
}

// forge flips the lowest bit of the last octet of RDATA that can bear it.
func (w *World) forge(rr dns.RR) dns.RR {
	buf := make([]byte, dns.Len(rr)+64)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if w.failed(err) {
		return rr
	}
	_, head, _ := dns.UnpackDomainName(buf, 0)
	for i := n - 1; i >= head+10; i-- {
		buf[i] ^= 1
		forged, _, err := dns.UnpackRR(buf[:n], 0)
		if err == nil && !dns.IsDuplicate(forged, rr) {
			return forged
		}
		buf[i] ^= 1
	}
	return rr
}

// Swap answers with the records of another name, signatures and all, under the
// name that was asked for.
func Swap(other string) Effect {
	return func(r *Reply) {
		q := r.Query.Copy()
		name := q.Question[0].Name
		q.Question[0].Name = dns.Fqdn(other)
		m, err := r.World.answer(q, false)
		if r.World.failed(err) {
			return
		}
		for _, rr := range m.Answer {
			if strings.EqualFold(rr.Header().Name, dns.Fqdn(other)) {
				rr.Header().Name = name
			}
		}
		r.Msg.Answer, r.Msg.Ns, r.Msg.Rcode = m.Answer, m.Ns, m.Rcode
	}
}

// Expire signs every RRset of the answer again, with the right key, in a
// validity that ended an hour ago.
func Expire() Effect { return resigned(-48*time.Hour, -time.Hour) }

// NotYetValid signs every RRset of the answer again, with the right key, in a
// validity that begins in an hour.
func NotYetValid() Effect { return resigned(time.Hour, 48*time.Hour) }

func resigned(from, to time.Duration) Effect {
	return func(r *Reply) {
		now := r.World.Now()
		for _, section := range [][]dns.RR{r.Msg.Answer, r.Msg.Ns} {
			for _, rr := range section {
				if sig, ok := rr.(*dns.RRSIG); ok {
					sig.Inception, sig.Expiration = uint32(now.Add(from).Unix()), uint32(now.Add(to).Unix())
					r.World.resign(sig, covered(section, sig))
				}
			}
		}
	}
}

// covered returns the records a signature is for, under the owner it was made
// for: that of the wildcard if they came out of one.
func covered(section []dns.RR, sig *dns.RRSIG) []dns.RR {
	var set []dns.RR
	for _, rr := range section {
		h := rr.Header()
		if h.Rrtype == sig.TypeCovered && strings.EqualFold(h.Name, sig.Hdr.Name) {
			rr = dns.Copy(rr)
			if labels := dns.SplitDomainName(h.Name); int(sig.Labels) < len(labels) && labels[0] != "*" {
				rr.Header().Name = "*." + dns.Fqdn(strings.Join(labels[len(labels)-int(sig.Labels):], "."))
			}
			set = append(set, rr)
		}
	}
	return set
}

// resign makes a signature anew with the zone's key and the validity in sig.
func (w *World) resign(sig *dns.RRSIG, set []dns.RR) {
	for i, rr := range w.zones[dns.CanonicalName(sig.SignerName)].DNSKEY() {
		if rr.KeyTag() != sig.KeyTag || rr.Algorithm != sig.Algorithm {
			continue
		}
		owner, ttl, labels := sig.Hdr.Name, sig.Hdr.Ttl, sig.Labels
		w.failed(sig.Sign(w.keys[dns.CanonicalName(sig.SignerName)][i].Signer, set))
		sig.Hdr.Name, sig.Hdr.Ttl, sig.Labels = owner, ttl, labels
		return
	}
}

// BogusSignatures puts n signatures in place of each one, with its key tag and
// algorithm, in form, but made by nobody.
func BogusSignatures(n int) Effect {
	return func(r *Reply) {
		r.each(func(rrs []dns.RR) []dns.RR {
			var out []dns.RR
			for _, rr := range rrs {
				sig, ok := rr.(*dns.RRSIG)
				if !ok {
					out = append(out, rr)
					continue
				}
				for range n {
					out = append(out, bogus(sig))
				}
			}
			return out
		})
	}
}

// bogus returns a copy of sig with random integers that are in range, so that
// a verifier has to do the whole computation.
func bogus(sig *dns.RRSIG) *dns.RRSIG {
	raw, _ := base64.StdEncoding.DecodeString(sig.Signature)
	_, _ = rand.Read(raw)
	switch sig.Algorithm {
	case dns.ED25519:
		raw[len(raw)-1] = 0 // little endian
	default:
		raw[0], raw[len(raw)/2] = 0, 0
	}
	c := dns.Copy(sig).(*dns.RRSIG)
	c.Signature = base64.StdEncoding.EncodeToString(raw)
	return c
}

// KeyTrap mounts CVE-2023-50387 against the zones it befalls, as their owner
// can: DNSKEY answers hold that many more P-256 keys which share the tag and
// algorithm of the data-signing key, validly signed; all other answers but DS
// have that many bogus signatures in place of each good one. It needs zones
// with P-256 keys.
func KeyTrap(keys, signatures int) Effect {
	bad := BogusSignatures(signatures)
	return func(r *Reply) {
		switch r.Query.Question[0].Qtype {
		case dns.TypeDS:
			return
		case dns.TypeDNSKEY:
		default:
			bad(r)
			return
		}
		var zsk *dns.DNSKEY
		for _, rr := range r.Msg.Answer {
			if key, ok := rr.(*dns.DNSKEY); ok && (zsk == nil || key.Flags == publish.ZSK) {
				zsk = key
			}
		}
		if zsk == nil {
			return
		}
		for range keys {
			r.Msg.Answer = append(r.Msg.Answer, r.World.collide(zsk))
		}
		r.signatures(func(sig *dns.RRSIG) {
			if sig.TypeCovered == dns.TypeDNSKEY {
				r.World.resign(sig, covered(r.Msg.Answer, sig))
			}
		})
	}
}

// collide makes a P-256 key with the tag of another. The tag is a sum in which
// the flags are one term (RFC 4034 appendix B), and validators must ignore all
// flags but three: so the flags are set to make up the difference.
func (w *World) collide(like *dns.DNSKEY) *dns.DNSKEY {
	tag := like.KeyTag()
	for {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if w.failed(err) {
			return like
		}
		point, err := private.PublicKey.Bytes()
		if w.failed(err) {
			return like
		}
		key := dns.Copy(like).(*dns.DNSKEY)
		key.PublicKey = base64.StdEncoding.EncodeToString(point[1:])
		key.Flags = 0
		key.Flags = tag - key.KeyTag()
		if key.KeyTag() != tag {
			key.Flags-- // the carry
		}
		if key.KeyTag() == tag && key.Flags&dns.ZONE != 0 && key.Flags&dns.REVOKE == 0 {
			return key
		}
	}
}
