package sdk_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/profile/device"
	"github.com/iotregistry/sdk/profile/iotsafe"
	"github.com/iotregistry/sdk/profile/iotsafe/applet"
	"github.com/iotregistry/sdk/profile/iotsafe/atcsim"
)

func runMeter(ctx context.Context, port io.ReadWriter, v *dane.Verifier, observe func(device.Event)) error {
	card, err := iotsafe.Open(ctx, atcsim.NewClient(port, atcsim.Options{}), iotsafe.Options{})
	if err != nil {
		return err
	}
	defer card.Close()
	d := &device.Device{Source: device.FromApplet(card, "iotregistry.ca"), Verifier: v, Observe: observe}
	return d.Run(ctx, func(ctx context.Context, s *device.Session) error {
		_, err := fmt.Fprintln(s.Conn, "Free") // mutual TLS 1.3; ctx ends when the profile changes or is withdrawn
		return err
	})
}

func verifierOf(lastSeen time.Time, kept ...[]byte) *dane.Verifier {
	v := &dane.Verifier{Resolver: &dnssec.Resolver{Floor: lastSeen}} // an earlier clock counts as this
	for _, wire := range kept {
		if e, err := dnssec.ParseEvidence(wire); err == nil {
			v.Evidence = append(v.Evidence, e) // asked only where the DNS gives no answer
		}
	}
	return v
}

type chip struct {
	exchange func(command []byte) (response []byte, err error) // SPI, I2C, a vendor's library
}

func (c chip) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.exchange(command)
}

// Every block of Go in the README's part for device builders is in this file, which
// compiles.
func TestReadmeDeviceSnippets(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut("\n"+string(readme), "\n## For device builders\n")
	if !ok {
		t.Skip("the README has no section for device builders yet")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	source, err := os.ReadFile("readme_device_test.go")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(section, -1)
	require.Len(t, blocks, strings.Count(section, "```go"))
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		require.Contains(t, string(source), "\n"+block[1])
	}
}

// And it does what it says.
func TestReadmeDevice(t *testing.T) {
	t.Parallel()
	card, err := applet.New(applet.Config{})
	require.NoError(t, err)
	modem, port := net.Pipe()
	on := chip{func(b []byte) ([]byte, error) { return card.Transmit(t.Context(), b) }}
	served := make(chan error, 1)
	go func() { served <- atcsim.Serve(t.Context(), modem, on, atcsim.ServeOptions{}) }()
	ctx, cancel := context.WithCancel(t.Context())
	var kinds []device.Kind
	err = runMeter(ctx, port, verifierOf(time.Now(), []byte("no evidence")), func(e device.Event) {
		kinds = append(kinds, e.Kind)
		cancel()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []device.Kind{device.NoProfile}, kinds)
	require.NoError(t, modem.Close())
	require.Error(t, <-served)
}
