package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry/web"
)

// apiOptions say which registry to call and as whom. What a flag leaves out is
// taken from the environment, and then from the configuration file.
type apiOptions struct {
	config                          string
	registry, token, ca, cert, ckey string
}

// settings is the configuration file. Relative paths in it start at its folder.
type settings struct {
	Registry  string `json:"registry,omitempty"`
	TokenFile string `json:"tokenFile,omitempty"`
	CA        string `json:"ca,omitempty"`
	Cert      string `json:"cert,omitempty"`
	CertKey   string `json:"certKey,omitempty"`
}

func (o *apiOptions) register(fs *flag.FlagSet) {
	fs.StringVar(&o.registry, "registry", "", "the registry's `URL`, such as https://127.0.0.1:8443 (or $IOTREG_REGISTRY)")
	fs.StringVar(&o.token, "token-file", "", "read the bearer token from this `file` (or from $IOTREG_TOKEN_FILE)")
	fs.StringVar(&o.ca, "ca", "", "trust the certificates in this PEM `file` only (or in $IOTREG_CA; default: the system's)")
	fs.StringVar(&o.cert, "cert", "", "prove the account by the client certificate in this PEM `file`")
	fs.StringVar(&o.ckey, "cert-key", "", "PEM `file` with the key of -cert (default: the same file)")
	fs.StringVar(&o.config, "config", "", "JSON `file` with registry, tokenFile, ca, cert, certKey (or $IOTREG_CONFIG; default: iotreg/config.json in the user's configuration folder)")
}

// complete fills in what no flag gave.
func (o *apiOptions) complete(p program) error {
	o.registry = cmp.Or(o.registry, p.getenv("IOTREG_REGISTRY"))
	o.ca = cmp.Or(o.ca, p.getenv("IOTREG_CA"))
	proof := o.token != "" || o.cert != "" // a flag replaces either kind of proof
	if !proof {
		o.token = p.getenv("IOTREG_TOKEN_FILE")
		proof = o.token != ""
	}
	c, err := o.readConfig(p)
	if err != nil {
		return err
	}
	o.registry, o.ca = cmp.Or(o.registry, c.Registry), cmp.Or(o.ca, c.CA)
	if !proof {
		o.token, o.cert, o.ckey = c.TokenFile, c.Cert, cmp.Or(o.ckey, c.CertKey)
	}
	o.ckey = cmp.Or(o.ckey, o.cert)
	return nil
}

// readConfig reads the configuration file; one that nobody named may be missing.
func (o *apiOptions) readConfig(p program) (c settings, err error) {
	path := cmp.Or(o.config, p.getenv("IOTREG_CONFIG"))
	named := path != ""
	if !named {
		dir, err := p.configDir()
		if err != nil {
			return c, nil // a user without a home has no such file
		}
		path = filepath.Join(dir, "iotreg", "config.json")
	}
	text, err := readBounded(path)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, usageError{err}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, usagef("%s: %w", path, err)
	}
	for _, file := range []*string{&c.TokenFile, &c.CA, &c.Cert, &c.CertKey} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(filepath.Dir(path), *file)
		}
	}
	return c, nil
}

// client makes the way to the registry.
func (o *apiOptions) client(p program) (*web.Client, error) {
	if err := o.complete(p); err != nil {
		return nil, err
	}
	u, err := url.Parse(o.registry)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return nil, usagef("say which registry: -registry https://HOST:PORT")
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, usagef("%s would carry secrets in clear: use https", o.registry)
	}
	if o.token == "" && o.cert == "" {
		return nil, usagef("say who you are: -token-file FILE, or -cert FILE")
	}
	c := &web.Client{BaseURL: strings.TrimSuffix(o.registry, "/")}
	if o.token != "" {
		if c.Token, err = readToken(o.token); err != nil {
			return nil, usageError{err}
		}
	}
	cfg, err := o.tls()
	if err != nil {
		return nil, usageError{err}
	}
	c.HTTP = &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg, ForceAttemptHTTP2: true,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 5 * time.Minute,
	}}
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (o *apiOptions) tls() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.ca != "" {
		text, err := readBounded(o.ca)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no CERTIFICATE in PEM", o.ca)
		}
	}
	if o.cert != "" {
		own, err := tls.LoadX509KeyPair(o.cert, o.ckey)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{own}
	}
	return cfg, nil
}

// readToken reads a token's file, which must be its user's alone. No error
// quotes it.
func readToken(path string) (web.Secret, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s has mode %04o, so that others can read the token: chmod 600 it, and revoke the token if they may have", path, info.Mode().Perm())
	}
	text, err := readBounded(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", fmt.Errorf("%s does not hold one token", path)
	}
	return web.Secret(token), nil
}

// maxSmall bounds files that are not lists of devices.
const maxSmall = 1 << 20

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err == nil && len(text) > maxSmall {
		err = fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return text, err
}

// writeSecret makes a file that only its user can read, and never replaces one.
func writeSecret(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	return errors.Join(err, f.Close())
}
