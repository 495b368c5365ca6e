package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/registry/web"
)

func auditCommands() []command {
	return []command{
		{
			name: "audit export", peer: apiPeer, short: "Fetch the audit trail with its signed head",
			long: "Operators and auditors may.\n\n  iotreg audit export -out trail.jsonl",
			setup: func(fs *flag.FlagSet) action {
				out := fs.String("out", "", "write to this new `file` (default: standard output)")
				after := fs.Uint64("after", 0, "begin after entry `number`")
				return func(ctx context.Context, s *session, _ []string) (report, error) { return s.export(ctx, *out, *after) }
			},
		},
		{
			name: "audit head", peer: apiPeer, short: "Fetch the newest signed head: keep it, and give it to audit verify",
			long: "  iotreg audit head -out head.json",
			setup: func(fs *flag.FlagSet) action {
				out := fs.String("out", "", "write the head's line to this new `file` as well")
				return apiCall(func(ctx context.Context, s *session, c *web.Client, _ []string) (report, error) {
					h, err := c.AuditHead(ctx)
					if err == nil && *out != "" {
						err = writeSecret(*out, string(h.AppendJSON(nil))+"\n")
					}
					if err != nil {
						return nil, err
					}
					return s.single(h, pair{"registry", h.Log}, pair{"entries", h.Seq}, pair{"hash", h.Hash}, pair{"time", stamp(h.Time)}, pair{"signed by", h.Key}), nil
				}).action()
			},
		},
		auditVerifyCommand(),
	}
}

func (s *session) export(ctx context.Context, path string, after uint64) (report, error) {
	if path == "" {
		if s.json {
			return nil, usagef("-json goes with -out FILE: the export is no report")
		}
		return s.single(nil), s.reg.ExportAudit(ctx, s.stdout, after)
	}
	f, err := output(path)
	if err != nil {
		return nil, err
	}
	err = s.reg.ExportAudit(ctx, f, after)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s is not whole: %w", path, err)
	}
	return s.single(nil, pair{"written to", path}), nil
}

func auditVerifyCommand() command {
	return command{
		name: "audit verify", args: "FILE", min: 1, max: 1, peer: nobody,
		short: "Check an export of the audit trail, offline",
		long: `FILE is what iotreg audit export wrote; - is standard input. With the registry's
public key, got from a source that you trust, the export must end in a head that
it signed. With a head that you kept from an earlier check, nothing before it
can have been rewritten unseen; -keep writes the head for the next time.

  iotreg audit verify -zone iotregistry.ca -key audit-key.pem trail.jsonl
  iotreg audit verify -zone iotregistry.ca -key audit-key.pem -head kept.json -keep next.json trail.jsonl`,
		setup: func(fs *flag.FlagSet) action {
			var v verifyTrail
			fs.StringVar(&v.zone, "zone", "", "the registry's DNS `zone`, as heads name it (required)")
			fs.StringVar(&v.key, "key", "", "PEM `file` with the registry's public keys, old ones too; without it only the hashes are checked")
			fs.StringVar(&v.head, "head", "", "`file` with a head kept from earlier, which this trail must contain")
			fs.StringVar(&v.keep, "keep", "", "write the verified head to this new `file`")
			return v.verify
		},
	}
}

type verifyTrail struct{ zone, key, head, keep string }

func (v *verifyTrail) verify(_ context.Context, s *session, args []string) (report, error) {
	ver, err := v.verifier()
	if err != nil {
		return nil, usageError{err}
	}
	f, err := s.file(args[0])
	if err != nil {
		return nil, usageError{err}
	}
	defer f.Close()
	got, err := ver.Verify(f)
	r := &trailReport{apiHead: s.head(), File: args[0], Entries: got.Lines, Last: got.Last, Heads: got.Heads, SignedThrough: got.SignedThrough, Head: got.Head}
	if err != nil {
		r.OK, r.Reason = false, err.Error()
		var ae *audit.Error
		if errors.As(err, &ae) {
			r.Line, r.Entry = ae.Line, ae.Seq
		}
		return r, nil
	}
	if v.keep != "" {
		if got.Head == nil || got.Verified == 0 {
			return nil, errors.New("there is no verified head to keep")
		}
		return r, writeSecret(v.keep, string(got.Head.AppendJSON(nil))+"\n")
	}
	return r, nil
}

func (v *verifyTrail) verifier() (*audit.Verifier, error) {
	if v.zone == "" {
		return nil, errors.New("-zone is missing")
	}
	ver := &audit.Verifier{Log: v.zone}
	if v.key != "" {
		var err error
		if ver.Keys, err = readPublicKeys(v.key); err != nil {
			return nil, err
		}
		ver.RequireHead = true
	}
	if v.head != "" {
		line, err := readBounded(v.head)
		if err != nil {
			return nil, err
		}
		h, err := audit.ParseHead(trimLine(line))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.head, err)
		}
		ver.AtLeast = &h
	}
	return ver, nil
}

func trimLine(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		return line[:n-1]
	}
	return line
}

// readPublicKeys reads PEM blocks of type PUBLIC KEY.
func readPublicKeys(path string) (keys []crypto.PublicKey, err error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("%s: want PUBLIC KEY, not %s", path, block.Type)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no PUBLIC KEY in PEM", path)
	}
	return keys, nil
}

// trailReport is what holds of an export.
type trailReport struct {
	apiHead
	File          string      `json:"file"`
	Entries       uint64      `json:"entries"`
	Last          uint64      `json:"last"`
	Heads         uint64      `json:"heads"`
	SignedThrough uint64      `json:"signed_through"`
	Head          *audit.Head `json:"head,omitempty"`
	Reason        string      `json:"reason,omitempty"`
	Line          int         `json:"line,omitempty"`
	Entry         uint64      `json:"entry,omitempty"`
}

func (r *trailReport) text(w io.Writer) {
	if !r.OK {
		fmt.Fprintf(w, "%s: NOT what the registry wrote\n  reason       %s\n  before it    %s held\n", r.File, r.Reason, count(int(r.Entries), "entry"))
		return
	}
	fmt.Fprintf(w, "%s: %s, nothing changed, none missing\n", r.File, count(int(r.Entries), "entry"))
	switch {
	case r.SignedThrough > 0:
		fmt.Fprintf(w, "  signed       by %s, through entry %d, at %s\n", r.Head.Key, r.SignedThrough, stamp(r.Head.Time))
	default:
		fmt.Fprintln(w, "  signed       not checked: give the registry's public key with -key")
	}
}
