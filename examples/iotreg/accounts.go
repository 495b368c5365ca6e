package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
)

func accountCommands() []command {
	return []command{
		accountPutCommand(),
		{
			name: "account show", args: "[ACCOUNT]", max: 1, peer: apiPeer,
			short: "Show an account; without a name, who you are",
			long:  "  iotreg account show\n  iotreg account show ottawa", setup: func(*flag.FlagSet) action { return apiCall(showAccount).action() },
		},
		{
			name: "account list", peer: apiPeer, short: "List the accounts",
			long: "  iotreg account list -role asp",
			setup: func(fs *flag.FlagSet) action {
				role := fs.String("role", "", "only those of this `role`")
				limit := limitFlag(fs)
				return apiCall(func(ctx context.Context, s *session, c *web.Client, _ []string) (report, error) {
					return listed(s, c.Accounts(ctx, registry.Role(*role)), *limit, "ACCOUNT ROLE NAME SERVICE", func(a *registry.Account) []any {
						return []any{a.ID, a.Role, a.Name, serviceOf(a)}
					})
				}).action()
			},
		},
		tokenIssueCommand(),
		tokenTrustCommand(),
		{
			name: "token list", args: "[ACCOUNT]", max: 1, peer: apiPeer,
			short: "List an account's tokens and certificates, without their secrets",
			long:  "  iotreg token list parkoserv",
			setup: func(*flag.FlagSet) action {
				return apiCall(func(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
					account, err := mine(ctx, c, args)
					if err != nil {
						return nil, err
					}
					return listed(s, each(c.Credentials(ctx, account)), 0, "CREDENTIAL ACCOUNT KIND LABEL MADE EXPIRES", func(x *registry.Credential) []any {
						return []any{x.ID, x.Account, x.Kind, x.Label, stamp(x.Created), stamp(x.Expires)}
					})
				}).action()
			},
		},
		{
			name: "token revoke", args: "CREDENTIAL", min: 1, max: 1, peer: apiPeer,
			short: "Take a token or certificate out of use at once",
			long:  "  iotreg token revoke t-4f2a...",
			setup: func(*flag.FlagSet) action {
				return apiCall(func(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
					if err := c.RevokeCredential(ctx, args[0]); err != nil {
						return nil, err
					}
					return s.done("%s revoked", args[0]), nil
				}).action()
			},
		},
	}
}

// mine is the account that an argument names, and else the caller's own.
func mine(ctx context.Context, c *web.Client, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	me, err := c.Me(ctx)
	return me.Account, err
}

func serviceOf(a *registry.Account) string {
	if a.Host == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", a.Host, a.Port)
}

func showAccount(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
	id, err := mine(ctx, c, args)
	if err != nil {
		return nil, err
	}
	a, err := c.Account(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.single(a, pair{"account", a.ID}, pair{"role", a.Role}, pair{"name", a.Name}, pair{"service", serviceOf(a)}, pair{"trust", trusts(a)}, pair{"webhook", a.Webhook}), nil
}

func trusts(a *registry.Account) string {
	if a.Trust == "" {
		return ""
	}
	return fmt.Sprintf("%d bytes of PEM", len(a.Trust))
}

func accountPutCommand() command {
	return command{
		name: "account put", args: "ACCOUNT", min: 1, max: 1, peer: apiPeer,
		short: "Create an account or replace what is known of it",
		long: `Only the registry's operator may. What no flag says is empty afterwards; an
account keeps its role. Roles: operator, asp, owner, mno, maker, auditor.

  iotreg account put ottawa -role owner -name "City of Ottawa"
  iotreg account put parkoserv -role asp -host parkoserv.ca -port 443
  iotreg account put meterworks -role maker -trust maker.pem`,
		setup: func(fs *flag.FlagSet) action {
			var a registry.Account
			fs.StringVar((*string)(&a.Role), "role", "", "the account's `role` (required)")
			fs.StringVar(&a.Name, "name", "", "`name` for people")
			fs.StringVar(&a.Host, "host", "", "`host` that a provider's devices connect to")
			fs.StringVar(&a.Webhook, "webhook", "", "https `URL` that is told when there is something in the account's queue")
			port := fs.Uint("port", 443, "`port` of -host")
			trust := fs.String("trust", "", "PEM `file` with what a maker signs its claims with: public keys, CA certificates")
			return apiCall(func(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
				a.ID = args[0]
				switch {
				case a.Role == "":
					return nil, usagef("-role is missing")
				case *port == 0 || *port > 65535:
					return nil, usagef("-port must be from 1 to 65535")
				case a.Host != "":
					a.Port = uint16(*port)
				}
				if *trust != "" {
					text, err := readBounded(*trust)
					if err != nil {
						return nil, usageError{err}
					}
					a.Trust = string(text)
				}
				if err := c.PutAccount(ctx, a); err != nil {
					return nil, err
				}
				return s.done("account %s, %s", a.ID, a.Role), nil
			}).action()
		},
	}
}

func tokenIssueCommand() command {
	return command{
		name: "token issue", args: "ACCOUNT", min: 1, max: 1, peer: apiPeer,
		short: "Make a bearer token for an account",
		long: `Only the registry's operator may. The registry keeps a hash and cannot show the
token again.

  iotreg token issue parkoserv -out parkoserv.token -lifetime 8760h`,
		setup: func(fs *flag.FlagSet) action {
			label := fs.String("label", "", "`text` to know it by")
			life := fs.Duration("lifetime", 0, "how `long` it is good; 0 until it is revoked")
			out := fs.String("out", "", "write the token to this new `file`, with mode 0600")
			show := fs.Bool("show", false, "print the token")
			return apiCall(func(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
				if (*out == "") != *show {
					return nil, usagef("give either -out FILE or -show")
				}
				return issueToken(ctx, s, c, args[0], *label, *life, *out)
			}).action()
		},
	}
}

func issueToken(ctx context.Context, s *session, c *web.Client, account, label string, life time.Duration, out string) (_ report, err error) {
	var f *os.File
	if out != "" { // before the token exists, so that none is made in vain
		if f, err = output(out); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	cred, token, err := c.IssueToken(ctx, account, label, life)
	if err != nil {
		if f != nil {
			_ = os.Remove(out)
		}
		return nil, err
	}
	lines := []pair{{"credential", cred.ID}, {"account", cred.Account}, {"expires", stamp(cred.Expires)}}
	if f == nil {
		return s.single(map[string]any{"credential": cred, "token": string(token)}, append(lines, pair{"token", string(token)})...), nil
	}
	if _, err := io.WriteString(f, string(token)+"\n"); err != nil {
		return nil, fmt.Errorf("token %s was made and could not be written, so revoke it: %w", cred.ID, err)
	}
	return s.single(map[string]any{"credential": cred, "file": out}, append(lines, pair{"written to", out})...), f.Sync()
}

func tokenTrustCommand() command {
	return command{
		name: "token trust", args: "ACCOUNT CERT", min: 2, max: 2, peer: apiPeer,
		short: "Let an account prove itself by the key of a client certificate",
		long:  "Only the registry's operator may.\n\n  iotreg token trust telco telco.pem",
		setup: func(fs *flag.FlagSet) action {
			label := fs.String("label", "", "`text` to know it by")
			life := fs.Duration("lifetime", 0, "how `long` it is good; 0 until it is revoked")
			return apiCall(func(ctx context.Context, s *session, c *web.Client, args []string) (report, error) {
				chain, err := readChain(args[1])
				if err != nil {
					return nil, err
				}
				cred, err := c.TrustCertificate(ctx, args[0], *label, chain[0], *life)
				if err != nil {
					return nil, err
				}
				return s.single(cred, pair{"credential", cred.ID}, pair{"account", cred.Account}, pair{"expires", stamp(cred.Expires)}), nil
			}).action()
		},
	}
}
