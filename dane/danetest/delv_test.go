package danetest_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/dane/danetest"
	"github.com/stretchr/testify/require"
)

// TestDelvAgrees has BIND's validator judge the world, from its anchor, over
// its sockets. delv knows no time but the present.
func TestDelvAgrees(t *testing.T) {
	t.Parallel()
	delv, err := exec.LookPath("delv")
	if err != nil {
		t.Skip("delv is not installed (Debian: bind9-dnsutils)")
	}
	w := danetest.NewWorld(t, danetest.Config{Unsigned: []string{"plain.ca."}, Start: time.Now()})
	w.AddCERT(device, []byte("certificate"))
	w.Add("*.wild.iotregistry.ca. 60 TXT x", "alias.iotregistry.ca. 60 CNAME a.parkoserv.ca.",
		"a.parkoserv.ca. 60 A 192.0.2.1", "x.plain.ca. 60 A 192.0.2.1", "forged.iotregistry.ca. 60 A 192.0.2.1",
		"late.iotregistry.ca. 60 A 192.0.2.1", "moved.iotregistry.ca. 60 DNAME parkoserv.ca.")
	w.Inject(danetest.Fault{Name: "forged.iotregistry.ca", Effect: danetest.Lie()})
	w.Inject(danetest.Fault{Name: "late.iotregistry.ca", Effect: danetest.Expire()})
	anchor := filepath.Join(t.TempDir(), "anchor")
	key := w.DNSKEY()[0]
	require.NoError(t, os.WriteFile(anchor, fmt.Appendf(nil, "trust-anchors { . static-key %d 3 %d \"%s\"; };\n",
		key.Flags, key.Algorithm, key.PublicKey), 0o600))
	host, port, err := net.SplitHostPort(w.Addr())
	require.NoError(t, err)
	for query, want := range map[string]string{
		device + " CERT":                        "; fully validated",
		device + " TLSA":                        "; negative response, fully validated",
		"1000000000000001.iotregistry.ca. CERT": "; negative response, fully validated",
		"12." + device[3:] + " CERT":            "; negative response, fully validated",
		"x.wild.iotregistry.ca. TXT":            "; fully validated",
		"x.wild.iotregistry.ca. A":              "; negative response, fully validated",
		"alias.iotregistry.ca. A":               "; fully validated",
		"a.moved.iotregistry.ca. A":             "; fully validated",
		"x.plain.ca. A":                         "; unsigned answer",
		"y.plain.ca. A":                         "; negative response, unsigned answer",
		"forged.iotregistry.ca. A":              "resolution failed",
		"late.iotregistry.ca. A":                "resolution failed",
	} {
		args := append([]string{"-4", "@" + host, "-p", port, "-a", anchor, "+root=."}, strings.Fields(query)...)
		out, err := exec.CommandContext(t.Context(), delv, args...).CombinedOutput()
		require.Contains(t, string(out), want, "%s: %v", query, err)
		require.Equal(t, strings.Contains(want, "validated"), strings.Contains(string(out), "fully validated"), "%s: %s", query, out)
	}
}
