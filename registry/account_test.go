package registry_test

import (
	"strings"
	"testing"

	"github.com/iotregistry/sdk/registry"
	"github.com/stretchr/testify/require"
)

func TestWebhookOfAnAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, c := range []struct {
		rule, url string
		ok        bool
	}{
		{"none", "", true},
		{"a host", "https://hooks.parkoserv.ca", true},
		{"a port, a path and a query", "https://hooks.parkoserv.ca:8443/iot?queue=1", true},
		{"an address", "https://[2001:db8::1]/", true},
		{"the longest", "https://a.ca/" + strings.Repeat("x", 2048-13), true},
		{"longer than the longest", "https://a.ca/" + strings.Repeat("x", 2048-12), false},
		{"no TLS", "http://hooks.parkoserv.ca/", false},
		{"another scheme", "file:///etc/passwd", false},
		{"no scheme", "//hooks.parkoserv.ca/", false},
		{"no host", "https:///path", false},
		{"only a port", "https://:443/", false},
		{"opaque", "https:hooks.parkoserv.ca", false},
		{"a user", "https://me@parkoserv.ca/", false},
		{"a password", "https://me:secret-word@parkoserv.ca/", false},
		{"a fragment", "https://parkoserv.ca/#secret-word", false},
		{"an empty fragment", "https://parkoserv.ca/#", false},
		{"port zero", "https://parkoserv.ca:0/", false},
		{"a port that is none", "https://parkoserv.ca:65536/", false},
		{"a new line", "https://parkoserv.ca/\nsecret-word", false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			a := registry.Account{ID: "hooked-" + strings.ReplaceAll(c.rule, " ", "-"), Role: registry.RoleOwner, Webhook: c.url}
			a.ID = strings.NewReplacer(",", "").Replace(a.ID)
			err := b.reg.PutAccount(t.Context(), root, a)
			if !c.ok {
				require.ErrorIs(t, err, registry.ErrInvalid)
				require.NotContains(t, err.Error(), "secret-word")
				return
			}
			require.NoError(t, err)
			got, err := b.reg.Account(t.Context(), root, a.ID)
			require.NoError(t, err)
			require.Equal(t, c.url, got.Webhook)
		})
	}
	a := registry.Account{ID: city.Account, Role: city.Role, Webhook: "https://ottawa.ca/"}
	require.ErrorIs(t, b.reg.PutAccount(t.Context(), city, a), registry.ErrForbidden, "only the operator sets it")
}

// The trail says whom the registry will call, and not with which secret.
func TestWebhookInTheAuditTrail(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := registry.Account{ID: city.Account, Role: city.Role, Webhook: "https://hooks.ottawa.ca:8443/secret-word"}
	require.NoError(t, b.reg.PutAccount(t.Context(), root, a))
	_, err := b.reg.SealAudit(t.Context(), root)
	require.NoError(t, err)
	lines, err := b.reg.Audit(t.Context(), root, 0, 0)
	require.NoError(t, err)
	last := string(lines[len(lines)-1].Entry)
	require.Contains(t, last, `"webhook":"hooks.ottawa.ca:8443"`)
	require.NotContains(t, last, "secret-word")
}
