// Package audit is the format of the registry's audit trail, how it is sealed,
// and how anybody checks it offline: an export file and the registry's public
// key are enough.
//
//	line := chain.Append(entry)        // the registry, once for each entry
//	head := chain.Head(zone, now)      // and now and then
//	err := head.Sign(nil, key)
//
//	v := audit.Verifier{Log: zone, Keys: keys, RequireHead: true, AtLeast: kept}
//	report, err := v.Verify(file)      // everybody else
//
// # Format, version 1
//
// An export is a file of lines that end in "\n" (the last one may lack it). A
// line holds an entry or a head. Each has one permitted encoding: members in
// the order shown, no others, none twice, no blanks, numbers without leading
// zeros, hashes as 64 lower-case hexadecimal digits. A line has at most
// [MaxLine] bytes.
//
//	{"seq":1,"hash":"5f7d...","entry":{"time":"2026-01-02T03:04:05Z",...}}
//	{"head":{"log":"iotregistry.ca","seq":1,"hash":"5f7d...","time":"2026-01-02T03:05:00Z","key":"c0ff...","signature":"MEUC..."}}
//
// Entries are numbered from 1 without gaps. What an entry says is [Entry]; it
// is a JSON object without blanks, in valid UTF-8, no member name twice in any
// object, at most 8 levels deep and with at most 256 members or elements each
// object or array. The names of the outermost members are of a to z, 0 to 9 and
// _; "time" must be there. Readers ignore members they do not know, so that
// later versions can add some.
//
// The hash of entry n is
//
//	SHA-256("iotreg audit entry v1\n" || hash n-1 || n || entry n)
//
// with 32 zero bytes for hash 0, n as 8 bytes, big-endian, and the entry's
// bytes just as they stand in the file. It therefore fixes all entries up to n.
//
// A head states that the trail had a certain length and hash at a certain time.
// It stands after the line that it speaks of; any number may stand anywhere,
// with times that do not go backwards. "log" is the registry's zone, the time
// is UTC in RFC 3339 with no more than milliseconds and no trailing zeros, "key"
// is the SHA-256 of the signer's SubjectPublicKeyInfo (RFC 5280) and
// "signature" is base64. The last two are absent from an unsigned head. Signed
// is the text
//
//	iotreg audit head v1
//	<log>
//	<seq>
//	<hash>
//	<time with exactly three decimals, such as 2026-01-02T03:05:00.000Z>
//
// each line of it ended by "\n", with ECDSA (P-256 or larger, SHA-256, ASN.1
// signature) or Ed25519 (RFC 8032). With that text in a file, OpenSSL agrees:
//
//	openssl dgst -sha256 -verify key.pem -signature head.sig head.txt
//	openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in head.txt -sigfile head.sig
//
// # What this does not protect from
//
// The trail shows changes, it does not prevent them, and it holds what the
// registry chose to write. Who has the signing key can write another history.
// Nobody can do so unseen once somebody else has kept a head: give it to
// [Verifier.AtLeast]. Entries after the last signed head are as trustworthy as
// the file they came in: set [Verifier.RequireHead] to refuse them. Entries hold
// names of accounts and devices; they must not hold secrets.
package audit
