// Package dnssec validates DNS answers from a trust anchor down (RFC 4033 to
// 4035, 5155, 6840, 9364), as a stub that trusts none of its upstreams.
//
// The two calls most people need are [Resolver.Lookup] and [Validate]:
//
//	var r dnssec.Resolver // the system's resolvers, the IANA root anchors
//	res, err := r.Lookup(ctx, "_443._tcp.example.com", dns.TypeTLSA)
//	if err == nil && res.Status == dnssec.Secure {
//		use(res.RRs)
//	}
//
// Lookup asks for the answer and for the keys of every zone above it at the
// same time, so that a cold look-up costs about one round trip. It keeps the
// zone keys it validated. Validate reaches the same verdicts from messages the
// caller has, without a network; [Evidence] carries such records to devices
// without DNS (RFC 9102).
//
// A proof that there is no such name or type is a [Secure] result without
// records of that type. [Secure] says that the owner of the zone published the
// answer. It does not say that the owner is honest, that the answer is the
// newest (old signatures can be replayed until they expire), or that nobody
// read the question on its way; for the last use DNS over TLS ([Client]) or
// HTTPS (package doh).
package dnssec
