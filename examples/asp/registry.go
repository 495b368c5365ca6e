package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
)

// callTime bounds one call of the registry.
const callTime = time.Minute

// registryClient makes the way to the registry. Calls are repeated by who makes
// them, not by the client.
func registryClient(base, tokenFile, ca string) (*web.Client, error) {
	token, err := readToken(tokenFile)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		text, err := readBounded(ca)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no CERTIFICATE in PEM", ca)
		}
	}
	return &web.Client{BaseURL: base, Token: token, Retry: web.Retry{Attempts: 1}, HTTP: &http.Client{
		Timeout: callTime,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg, ForceAttemptHTTP2: true,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 90 * time.Second,
		},
	}}, nil
}

// confirming adapts the client to what confirms batches.
func confirming(c *web.Client) func(context.Context, []registry.Confirmation) ([]registry.Result, error) {
	return func(ctx context.Context, batch []registry.Confirmation) ([]registry.Result, error) {
		return c.Confirm(ctx, batch...)
	}
}

// readToken reads a token's file, which must be its user's alone. No error quotes
// it.
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

// maxSmall bounds the files that are read.
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
