package dnssec

// Limits bound the work and memory of one Lookup or Validate. A zero field
// means its default; there is no way to say "unlimited". When a limit stops a
// validation the result is Bogus and its Reason wraps ErrLimit.
type Limits struct {
	Verifications  int // signatures checked in all; default 32
	Failures       int // signature checks that fail, in all; default 8
	KeysPerTag     int // keys tried per key tag and algorithm (CVE-2023-50387); default 4
	Signatures     int // signatures considered per RRset; default 8
	Iterations     int // NSEC3 iterations; more make the answer Insecure (RFC 9276); default 50
	Hashes         int // NSEC3 hashes computed (CVE-2023-50868); default 64
	Aliases        int // CNAME and DNAME steps; default 11
	Records        int // records per message; more and it is ignored; default 2048
	Messages       int // messages in all; default 128
	Queries        int // queries sent per look-up; default 96
	Zones          int // zones whose keys a Resolver keeps; default 1024
	DelegationTags int // DS records considered per delegation; default 16
}

const defaultSignatures = 8

func (l Limits) filled() Limits {
	for _, f := range []struct {
		p *int
		d int
	}{
		{&l.Verifications, 32},
		{&l.Failures, 8},
		{&l.KeysPerTag, 4},
		{&l.Signatures, defaultSignatures},
		{&l.Iterations, 50},
		{&l.Hashes, 64},
		{&l.Aliases, 11},
		{&l.Records, 2048},
		{&l.Messages, 128},
		{&l.Queries, 96},
		{&l.Zones, 1024},
		{&l.DelegationTags, 16},
	} {
		if *f.p <= 0 {
			*f.p = f.d
		}
	}
	return l
}
