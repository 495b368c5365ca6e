package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane/dnssec"
)

func traceCommand() command {
	return command{
		name: "trace", args: "NAME [TYPE]", min: 1, max: 2,
		short: "Show how a record is proved, from the trust anchor down",
		long: `One line per zone: its verdict, the DS records (or anchor) that vouch for its
keys, the keys, and how long that holds. A * marks what the proof rests on: DS
records that match a key, and keys with a signature that was checked. On
failure the zone, the record and the rule are named.

NAME may be HOST:PORT for the TLSA record of a service. Without TYPE the type is
TLSA for names with an underscore, CERT for <profileID>.<deviceID>.<zone>, else A.

  iotreg trace www.iotregistry.ca AAAA
  iotreg trace 11.1000000000000001.iotregistry.ca
  iotreg trace -server 127.0.0.1:5300 -anchor lab.ds -json parkoserv.ca:443
  iotreg trace -time 2026-12-24T18:00:00Z parkoserv.ca:443     will it hold at Christmas?`,
		setup: func(*flag.FlagSet) action { return trace },
	}
}

// traceReport is a chain of trust.
type traceReport struct {
	head
	Answer *answer `json:"answer,omitempty"`
}

func trace(ctx context.Context, s *session, args []string) (report, error) {
	t, err := parseTarget(args[0])
	if err != nil {
		return nil, err
	}
	qtype := t.defaultType()
	if len(args) == 2 {
		if qtype, err = parseType(args[1]); err != nil {
			return nil, err
		}
	}
	r := &traceReport{head: head{Command: "trace", Subject: args[0], Time: s.now().UTC()}}
	res, err := s.resolver.Lookup(ctx, t.owner, qtype)
	if errors.Is(err, dnssec.ErrQuestion) {
		return nil, usageError{err}
	}
	if err != nil {
		r.Verdict, r.Reason = dnssec.Indeterminate.String(), newReason(err)
		return r, nil
	}
	r.OK, r.Verdict, r.Reason = res.Status == dnssec.Secure, res.Status.String(), newReason(res.Reason)
	r.Answer = newAnswer(t.owner, qtype, res)
	return r, nil
}

func (t target) defaultType() uint16 {
	switch types := t.types(); {
	case len(types) == 1:
		return types[0]
	case t.isDevice():
		return dns.TypeCERT
	}
	return dns.TypeA
}

func parseType(s string) (uint16, error) {
	up := strings.ToUpper(s)
	if t, ok := dns.StringToType[up]; ok {
		return t, nil
	}
	if digits, ok := strings.CutPrefix(up, "TYPE"); ok { // RFC 3597
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil && n > 0 {
			return uint16(n), nil
		}
	}
	return 0, usagef("%q is no record type", s)
}

func (r *traceReport) text(w io.Writer) {
	if r.Answer == nil {
		fmt.Fprintf(w, "; %s: nothing is known about %s\n", r.Verdict, r.Subject)
		r.Reason.text(w)
		return
	}
	a := r.Answer
	fmt.Fprintf(w, "; %s %s as of %s\n", a.Name, a.Type, stamp(r.Time))
	a.chain(w)
	for _, record := range a.Records {
		fmt.Fprintln(w, line(record))
	}
	fmt.Fprintf(w, "; %s\n", a.conclusion())
	if r.Reason != nil {
		r.Reason.text(w)
	}
	if !a.ValidFrom.IsZero() {
		fmt.Fprintf(w, "; all signatures valid from %s until %s\n", stamp(a.ValidFrom), stamp(a.ValidUntil))
	}
	if !a.Expires.IsZero() {
		fmt.Fprintf(w, "; the answer may be kept until %s\n", stamp(a.Expires))
	}
	fmt.Fprintf(w, "; %s, %s checked, %d NSEC3 hashes\n", count(a.Queries, "query"), count(a.Verifications, "signature"), a.Hashes)
}

// chain prints a line per zone and explains the numbers in it.
func (a *answer) chain(w io.Writer) {
	if len(a.Zones) == 0 {
		return
	}
	algorithms, digests := map[string]bool{}, map[string]bool{} // sets, for the legend
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "; ZONE\tSTATUS\tVOUCHED FOR BY\tKEYS\tHOLDS UNTIL")
	for _, z := range a.Zones {
		var ds, keys []string
		for _, d := range z.DS {
			ds = append(ds, d.String())
			digests[fmt.Sprintf("%d %s", d.Digest, dns.HashToString[d.Digest])] = true
		}
		for _, k := range z.Keys {
			keys = append(keys, k.String())
			algorithms[fmt.Sprintf("%d %s", k.Algorithm, dns.AlgorithmToString[k.Algorithm])] = true
		}
		by := "DS "
		if z.Anchor {
			by = "anchor "
		}
		if len(ds) == 0 {
			by = "-"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", z.Zone, z.Status, by+strings.Join(ds, " "), orDash(strings.Join(keys, ", ")), stamp(z.Expires))
	}
	tw.Flush()
	if len(algorithms) > 0 {
		fmt.Fprintf(w, "; DS: tag/algorithm/digest, * matches a key; keys: tag/algorithm, * signature checked\n; algorithms %s; digests %s\n", list(algorithms), list(digests))
	}
}

func (d delegation) String() string {
	s := fmt.Sprintf("%d/%d/%d", d.Tag, d.Algorithm, d.Digest)
	if d.Matched {
		s += "*"
	}
	return s
}

func (k key) String() string {
	use := "ZSK"
	if k.Flags&dns.SEP != 0 {
		use = "KSK"
	}
	if k.Used {
		use += "*"
	}
	return fmt.Sprintf("%d/%d %s", k.Tag, k.Algorithm, use)
}

// conclusion says the verdict in words that users of delv know.
func (a *answer) conclusion() string {
	negative := "negative response, "
	if len(a.Records) > 0 {
		negative = ""
	}
	switch a.Status {
	case dnssec.Secure.String():
		switch {
		case negative == "":
			return "secure: fully validated, " + count(len(a.Records), "record")
		case a.Rcode == dns.RcodeToString[dns.RcodeNameError]:
			return "secure: " + negative + "fully validated: there is no such name"
		}
		return "secure: " + negative + "fully validated: the name has no " + a.Type + " record"
	case dnssec.Insecure.String():
		return "insecure: " + negative + "unsigned answer: it proves nothing"
	case dnssec.Bogus.String():
		return "bogus: validation failed, the answer is not to be used"
	}
	return "indeterminate: no verdict was possible"
}
