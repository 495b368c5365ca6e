package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/iotregistry/sdk/internal/strictjson"
	"github.com/iotregistry/sdk/registry"
)

const day = 24 * time.Hour

func defaults() *config {
	return &config{
		Zone: "iotregistry.example", Organization: "Secure IoT Registry", Data: "iotreg-data", Operator: "registry",
		Listen: "127.0.0.1:8443", Metrics: "127.0.0.1:8081", TLS: tlsFiles{Names: []string{}},
		DNS: dnsCfg{Listen: "127.0.0.1:8053", NS: []string{}, TTL: registry.DefaultCertTTL}, Accounts: []registry.Account{},
		Policy: policyCfg{
			FirstProfile: 1, Undo: duration(5 * day), Overlap: duration(registry.DefaultOverlap), CodeTTL: duration(registry.DefaultCodeTTL),
			Validity: duration(registry.DefaultValidity), EnrollEvery: duration(registry.DefaultEnrollEvery),
			Redemption: duration(registry.DefaultRedemption), PurgeAfter: duration(registry.DefaultPurge),
		},
		Rate: rateCfg{50, 200}, Webhooks: webhookCfg{Enabled: true},
		Log: logCfg{"text", "info"}, Work: duration(time.Second), Drain: duration(10 * time.Second),
	}
}

// simulator is the operator of a registry that has been told of none.
var simulator = operatorCfg{Account: "telco", Simulate: true}

const maxConfig = 1 << 20

// settings are the defaults, what the file says, and what the flags say.
func (f *flags) settings() (*config, error) {
	c := defaults()
	if f.config != "" {
		if err := c.read(f.config); err != nil {
			return nil, usagef("%s: %w", f.config, err)
		}
	}
	if c.Operators == nil {
		c.Operators = []operatorCfg{simulator}
	}
	for _, o := range []struct {
		to   *string
		from string
	}{
		{&c.Data, f.data}, {&c.Zone, f.zone}, {&c.Store, f.store}, {&c.Listen, f.listen}, {&c.DNS.Listen, f.dns},
		{&c.Metrics, f.metrics}, {&c.Log.Format, f.logFormat}, {&c.Log.Level, f.logLevel},
	} {
		*o.to = cmp.Or(o.from, *o.to)
	}
	if err := c.check(); err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func (c *config) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return err
	}
	if len(text) > maxConfig {
		return errors.New("larger than 1 MiB")
	}
	return c.parse(text)
}

// parse reads JSON of which each line that begins with // is a comment.
func (c *config) parse(text []byte) error {
	lines := bytes.Split(text, []byte("\n"))
	for i, line := range lines {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("//")) {
			lines[i] = nil // the line stays, for the numbers of the others
		}
	}
	return strictjson.Decode(bytes.Join(lines, []byte("\n")), c, strictjson.Limits{Depth: 8, Names: 100_000, Unknown: true})
}

// check refuses what cannot work, before anything is made.
func (c *config) check() error {
	for name, addr := range map[string]string{"listen": c.Listen, "dns.listen": c.DNS.Listen, "metrics": c.Metrics} {
		if _, _, err := net.SplitHostPort(addr); err != nil && (addr != "" || name != "metrics") {
			return fmt.Errorf("%s: %q is no host:port", name, addr)
		}
	}
	for name, d := range map[string]duration{"work": c.Work, "drain": c.Drain} {
		if d <= 0 {
			return fmt.Errorf("%s must be above zero", name)
		}
	}
	switch {
	case c.Zone == "" || strings.HasSuffix(c.Zone, "."):
		return errors.New("zone must be a domain name without a final dot")
	case c.Data == "":
		return errors.New("data must name a folder")
	case c.Operator == "":
		return errors.New("operator must name an account")
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return errors.New("tls: give both cert and key, or neither")
	case c.Rate.PerSecond < 0 || c.Rate.PerSecond > 0 && c.Rate.Burst < 1:
		return errors.New("rate: perSecond must not be negative, and burst at least 1")
	}
	return c.checkOperators()
}

func (c *config) checkOperators() error {
	seen := map[string]bool{}
	for i, o := range c.Operators {
		u, err := url.Parse(o.ES2)
		switch {
		case o.Account == "" || seen[o.Account]:
			return fmt.Errorf("operators[%d]: account must be set, and once", i)
		case o.Simulate == (o.ES2 != ""):
			return fmt.Errorf("operators[%d]: give either es2 or simulate", i)
		case !o.Simulate && (err != nil || u.Scheme != "https" || u.Host == ""):
			return fmt.Errorf("operators[%d]: es2 must be an https URL", i)
		case !o.Simulate && (o.Cert == "" || o.Key == ""):
			return fmt.Errorf("operators[%d]: ES2+ needs cert and key", i)
		}
		seen[o.Account] = true
	}
	return nil
}

// logger makes the program's log.
func (l logCfg) logger(w io.Writer) (*slog.Logger, error) {
	var opts slog.HandlerOptions
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return nil, usagef("log: level must be debug, info, warn or error")
	}
	opts.Level = level
	switch l.Format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &opts)), nil
	}
	return nil, usagef("log: format must be text or json")
}
