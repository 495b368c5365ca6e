package main

import (
	"context"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/audit"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web"
)

func deviceCommands() []command {
	return []command{
		{
			name: "devices", peer: apiPeer, short: "List the devices that you may see",
			long: "  iotreg devices\n  iotreg devices -limit 20 -json",
			setup: func(fs *flag.FlagSet) action {
				limit := limitFlag(fs)
				return apiCall(func(ctx context.Context, s *session, c *web.Client, _ []string) (report, error) {
					return listed(s, c.Devices(ctx), *limit, "DEVICE SPONSOR OWNER MNO PROFILE STATUS", deviceRow(s.now()))
				}).action()
			},
		},
		{
			name: "device", args: "ID", min: 1, max: 1, peer: apiPeer, short: "Show a device",
			long: "  iotreg device 1000000000000001", setup: func(*flag.FlagSet) action { return apiCall(showDevice).action() },
		},
		profilesCommand(),
		{
			name: "timeline", args: "ID", min: 1, max: 1, peer: apiPeer,
			short: "Show what happened to a device, from the audit trail",
			long:  "  iotreg timeline 1000000000000001",
			setup: func(*flag.FlagSet) action {
				return apiCall(func(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
					id, err := oneID(args[0])
					if err != nil {
						return nil, err
					}
					return listed(s, c.Timeline(ctx, id), 0, "SEQ TIME OPERATION BY DETAIL", lineRow)
				}).action()
			},
		},
		statusCommand(),
		confirmCommand(),
		claimsCommand(),
		idsCommand("card-keys forget", "Have the registry make keys again, for cards that lost theirs", func(ctx context.Context, c *web.Client, o registry.Options, ids []eid.ID) ([]registry.Result, error) {
			return c.ForgetCardKeys(ctx, o, ids...)
		}),
	}
}

func deviceRow(now time.Time) func(*registry.Device) []any {
	return func(d *registry.Device) []any {
		return []any{d.ID, d.Sponsor, d.Owner, d.MNO, number(d.Profile), words(d.Statuses(now))}
	}
}

func words(statuses []registry.Status) string {
	out := make([]string, len(statuses))
	for i, s := range statuses {
		out[i] = string(s)
	}
	return strings.Join(out, ",")
}

func showDevice(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
	id, err := oneID(args[0])
	if err != nil {
		return nil, err
	}
	d, err := c.Device(ctx, id)
	if err != nil {
		return nil, err
	}
	code, err := c.Code(ctx, id)
	if err != nil {
		return nil, err
	}
	var pending string
	if d.Pending != nil {
		pending = fmt.Sprintf("to %s, at %s unless it is decided before", d.Pending.To, stamp(d.Pending.Due))
	}
	return s.single(d,
		pair{"device", d.ID}, pair{"model", d.Model + " " + d.Version}, pair{"provider", d.Sponsor}, pair{"owner", d.Owner},
		pair{"operator", d.MNO}, pair{"profile", number(d.Profile)}, pair{"next key made by", madeBy(len(d.CardKey) > 0)}, pair{"status", words(d.Statuses(s.now()))},
		pair{"code good until", stamp(code.Expires)}, pair{"transfer", pending}, pair{"came from", d.From}, pair{"moved", stamp(d.Moved)}, pair{"can be undone until", stamp(d.Undo)},
		pair{"deleted", stamp(d.Deleted)}, pair{"can be restored until", stamp(d.Redeem)}, pair{"registered", stamp(d.Created)},
	), nil
}

// madeBy says who makes a device's private key.
func madeBy(card bool) string {
	if card {
		return "card"
	}
	return "registry"
}

func profilesCommand() command {
	return command{
		name: "profiles", args: "ID", min: 1, max: 1, peer: apiPeer,
		short: "Show the profiles that a device has and had",
		long: `With -cert-out, the certificate of the current profile, or of that of -profile,
is written to a file as well, for iotreg verify-device.

  iotreg profiles 1000000000000001
  iotreg profiles 1000000000000001 -profile 11 -cert-out meter.pem`,
		setup: func(fs *flag.FlagSet) action {
			out := fs.String("cert-out", "", "write the certificate to this new `file`")
			which := fs.Uint64("profile", 0, "the `number` of the profile to write; 0 for the current one")
			return apiCall(func(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
				id, err := oneID(args[0])
				if err != nil {
					return nil, err
				}
				if *out != "" {
					if err := s.saveCertificate(ctx, id, *which, *out); err != nil {
						return nil, err
					}
				}
				return listed(s, each(c.Profiles(ctx, id)), 0, "PROFILE PROVIDER STATUS OPERATOR DELIVERY CONNECTED KEY NAME", func(p *registry.Profile) []any {
					return []any{p.ID, p.Sponsor, p.Status, p.MNO, p.MNOStatus, stamp(p.Connected), madeBy(p.KeyOnCard), p.Name}
				})
			}).action()
		},
	}
}

func (s *session) saveCertificate(ctx context.Context, id eid.ID, profile uint64, path string) error {
	if profile == 0 {
		d, err := s.reg.Device(ctx, id)
		if err != nil {
			return err
		}
		profile = d.Profile
	}
	made, err := s.reg.Issued(ctx, id, profile)
	if err != nil {
		return err
	}
	return writeSecret(path, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate})))
}

func lineRow(l audit.Line) []any {
	e, err := audit.ParseEntry(l.Entry)
	if err != nil {
		return []any{l.Seq, "", "unreadable", "", err}
	}
	return []any{l.Seq, stamp(e.Time), e.Op, e.Actor, details(e)}
}

// details are what an entry tells beyond the columns, in a fixed order.
func details(e audit.Entry) string {
	parts := []string{}
	if e.Subject != "" {
		parts = append(parts, e.Subject)
	}
	for _, name := range sorted(e.Detail) {
		if value := e.Detail[name]; value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	return strings.Join(parts, " ")
}

func statusCommand() command {
	return command{
		name: "status", args: idsArg, min: 1, max: -1, peer: apiPeer,
		short: "Set and take back statuses of devices, such as a hold",
		long: idsHelp + `

A provider sets those that begin with client, the registry those with server:
clientHold, clientTransferProhibited, clientUpdateProhibited,
clientDeleteProhibited, and the same with server.

  iotreg status -add clientHold -why "stolen" 1000000000000001
  iotreg status -remove clientHold -add clientTransferProhibited meters.csv`,
		setup: func(fs *flag.FlagSet) action {
			var ch registry.StatusChange
			fs.Func("add", "set this `status`; may be repeated", statusFlag(&ch.Add))
			fs.Func("remove", "take this `status` back; may be repeated", statusFlag(&ch.Remove))
			fs.StringVar(&ch.Why, "why", "", "the `reason`, for the audit trail and those who are told")
			fs.StringVar(&ch.Case, "case", "", "the `reference` of the complaint or order behind it")
			key := fs.String("key", "", "idempotency `key`")
			return func(ctx context.Context, s *session, args []string) (report, error) {
				if len(ch.Add)+len(ch.Remove) == 0 {
					return nil, usagef("give -add STATUS or -remove STATUS")
				}
				ids, err := s.ids(args)
				if err != nil {
					return nil, err
				}
				return direct(s, ids, *key, false, func(c *web.Client, part []eid.ID) ([]registry.Result, error) {
					return c.SetStatus(ctx, ch, part...)
				})
			}
		},
	}
}

func statusFlag(to *[]registry.Status) func(string) error {
	return func(text string) error {
		for word := range strings.SplitSeq(text, ",") {
			*to = append(*to, registry.Status(strings.TrimSpace(word)))
		}
		return nil
	}
}

func confirmCommand() command {
	return command{
		name: "confirm", args: "ID[:PROFILE]...", min: 1, max: -1, peer: apiPeer,
		short: "Say that devices connected to you with their profiles",
		long: `A provider's service does this for each device that it has verified; the profile
that was replaced is withdrawn then. Without PROFILE it is the current one.

  iotreg confirm 1000000000000001:16`,
		setup: func(*flag.FlagSet) action {
			return func(ctx context.Context, s *session, args []string) (report, error) {
				cs := make([]registry.Confirmation, len(args))
				for i, arg := range args {
					var err error
					if cs[i], err = s.confirmation(ctx, arg); err != nil {
						return nil, err
					}
				}
				return direct(s, cs, "", false, func(c *web.Client, part []registry.Confirmation) ([]registry.Result, error) {
					return c.Confirm(ctx, part...)
				})
			}
		},
	}
}

func (s *session) confirmation(ctx context.Context, arg string) (registry.Confirmation, error) {
	device, profile, found := strings.Cut(arg, ":")
	id, err := oneID(device)
	if err != nil {
		return registry.Confirmation{}, err
	}
	if !found {
		d, err := s.reg.Device(ctx, id)
		if err != nil {
			return registry.Confirmation{}, err
		}
		return registry.Confirmation{Device: id, ProfileID: d.Profile}, nil
	}
	n, err := strconv.ParseUint(profile, 10, 64)
	if err != nil {
		return registry.Confirmation{}, usagef("%q is no profile number", profile)
	}
	return registry.Confirmation{Device: id, ProfileID: n}, nil
}

func claimsCommand() command {
	return command{
		name: "claims", args: "FILE [SIGNATURE]", min: 1, max: 2, peer: apiPeer,
		short: "File a maker's claims: which eUICC has which key",
		long: `FILE is a list that a maker signed, with the columns Device ID,Public Key and
optionally Model and CSR, and SIGNATURE what it made with
openssl dgst -sha256 -sign maker.key -out claims.csv.sig claims.csv
CSR is a certificate request (PKCS #10, DER in base64) for a key that was made
on the device's card: the registry then certifies that key and makes none.
Or FILE is a bundle of the devices' certificates in PEM, without a SIGNATURE.
Anybody with an account may hand them in.

  iotreg claims claims.csv claims.csv.sig
  iotreg claims certificates.pem`,
		setup: func(*flag.FlagSet) action {
			return apiCall(func(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
				f, err := s.file(args[0])
				if err != nil {
					return nil, usageError{err}
				}
				defer f.Close()
				rs, err := fileClaims(ctx, c, f, args[1:])
				if err != nil && len(rs) == 0 {
					return nil, err
				}
				r := &results{apiHead: s.head(), Results: rs}
				if err != nil {
					r.Error = err.Error()
				}
				r.judge()
				return r, nil
			}).action()
		},
	}
}

func fileClaims(ctx context.Context, c *web.Client, f io.Reader, signature []string) ([]registry.Result, error) {
	if len(signature) == 0 {
		return c.FileCertificates(ctx, f)
	}
	sig, err := readBounded(signature[0])
	if err != nil {
		return nil, usageError{err}
	}
	return c.FileSigned(ctx, f, sig)
}
