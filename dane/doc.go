// Package dane decides whether a certificate is the one that the DNS, proved
// by DNSSEC, publishes for a name.
//
// A device asks that of the service it connects to, and the service asks it of
// the device. Most programs need two calls:
//
//   - a device uses [Verifier.ClientConfig] (or [Verifier.DialTLS]): the
//     service's certificate must match the TLSA records at
//     _<port>._tcp.<host>;
//   - a service uses [Verifier.ServerConfig] and, once a connection is
//     accepted, [ClientIdentity]: the device's certificate must match the CERT
//     or TLSA records at the name that it carries.
//
// Both need a [Verifier] with a [dnssec.Resolver], which validates every
// answer from a trust anchor down. [VerifyChain] and [VerifyCERT] do the
// comparing alone, without any network, for records obtained elsewhere.
//
// # Three outcomes
//
// A nil error means verified. [ErrAbsent] means that the absence of the
// records is proved: the certificate was withdrawn, or never published. Every
// other error means that nothing is known, or that the certificate is wrong.
// A time-out, SERVFAIL, or a bogus or insecure answer is never read as valid
// and never as revoked. There is no fall-back to unverified data and none to
// the Web PKI.
//
// # What this does not protect from
//
// Whoever can sign the zone, or a zone above it, can publish another
// certificate. A withdrawn record is honoured only when cached copies have
// expired, so the records' TTL is the delay of revocation. A connection that
// is already open is not closed by a withdrawal: call [Verifier.Device] again
// when that matters. The names that are looked up are visible to the resolver.
package dane
