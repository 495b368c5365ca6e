package sdk_test

import (
	"context"
	"crypto/tls"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
)

func connect(ctx context.Context) (*tls.Conn, error) {
	cert, err := tls.LoadX509KeyPair("device.crt", "device.key")
	if err != nil {
		return nil, err
	}
	v := &dane.Verifier{Resolver: new(dnssec.Resolver)} // system resolvers, IANA root keys
	name := cert.Leaf.DNSNames[0]                       // 11.1000000000000001.iotregistry.ca
	if _, err := v.Device(ctx, name, cert.Leaf); err != nil {
		return nil, err // dane.ErrAbsent: proved withdrawn; any other: not known, so do not connect
	}
	return v.DialTLS(ctx, "tcp", "parkoserv.ca:443", &tls.Config{Certificates: []tls.Certificate{cert}})
}

// The snippet in the README is the function above, which compiles.
func TestReadmeSnippet(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok)
	snippet, _, ok := strings.Cut(after, "```")
	require.True(t, ok)
	source, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	require.Contains(t, string(source), "\n"+snippet)

	_, err = connect(t.Context())
	require.ErrorIs(t, err, os.ErrNotExist, "there is no device.crt here")
}
