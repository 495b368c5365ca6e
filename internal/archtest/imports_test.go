package archtest

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// repository is listed once for all tests.
var repository = sync.OnceValues(func() ([]*Package, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	return List(context.Background(), root)
})

func load(t *testing.T) (own []*Package, byPath map[string]*Package) {
	t.Helper()
	all, err := repository()
	require.NoError(t, err)
	byPath = make(map[string]*Package, len(all))
	for _, p := range all {
		byPath[p.ImportPath] = p
		if !p.DepOnly {
			own = append(own, p)
		}
	}
	require.NotEmpty(t, own, "go list found nothing")
	return own, byPath
}

func TestPackagesLoad(t *testing.T) {
	t.Parallel()
	own, _ := load(t)
	for _, p := range own {
		if p.Error != nil {
			t.Errorf("%s: %s", p.Rel(), p.Error.Err)
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s uses cgo (%s): everything must build with CGO_ENABLED=0", p.Rel(), p.CgoFiles)
		}
	}
}

func TestImportRules(t *testing.T) {
	t.Parallel()
	own, byPath := load(t)
	for _, r := range rules {
		require.NotEmpty(t, r.why, "a rule without a reason: %v", r.of)
		active := false
		for _, p := range own {
			if !r.about(p.Rel()) {
				continue
			}
			active = true
			for _, broken := range r.check(p, byPath) {
				t.Error(broken)
			}
		}
		if !active {
			t.Logf("inactive, no such package yet: %s (%s)", strings.Join(r.of, " "), r.why)
		}
	}
}

// The rules are tried on a made-up repository that breaks them, so that a typing
// mistake in a pattern cannot switch one off unseen.
func TestRulesCatchWhatTheyForbid(t *testing.T) {
	t.Parallel()
	const testify = "github.com/stretchr/testify/require"
	cases := []struct {
		pkg  string
		deps []string
		bad  bool
	}{
		{"dane", []string{"crypto/x509", "github.com/miekg/dns", "golang.org/x/net/idna", Module + "/dane/dnssec"}, false},
		{"dane", []string{Module + "/registry/eid"}, true},
		{"dane", []string{"net/http"}, true},
		{"dane/dnssec", []string{"net/http"}, true},
		{"dane/dnssec/doh", []string{"net/http"}, false},
		{"dane/publish", []string{"github.com/google/uuid"}, true},
		{"dane/danetest", []string{testify}, true},
		{"profile", []string{Module + "/registry/eid", "crypto/hpke"}, false},
		{"profile", []string{Module + "/dane"}, true},
		{"profile/device", []string{Module + "/dane", "github.com/miekg/dns"}, false},
		{"profile/device", []string{Module + "/mno"}, true},
		{"profile", []string{Module + "/registry"}, true},
		{"profile/euicc", []string{"github.com/google/go-tpm/tpm2"}, true},
		{"profile/euicc/tpmkeys", []string{"github.com/google/go-tpm/tpm2"}, false},
		{"profile/euicc/tpmkeys", []string{"github.com/google/go-tpm-tools/simulator"}, true},
		{"profile", []string{"github.com/google/go-tpm/tpm2"}, true},
		{"profile/device", []string{"github.com/google/go-tpm/tpm2"}, true},
		{"mno/es2", []string{"net/http", Module + "/mno", Module + "/internal/rsp"}, false},
		{"mno/es2", []string{Module + "/profile"}, true},
		{"mno/smdp", []string{"golang.org/x/crypto/hkdf"}, true},
		{"registry", []string{Module + "/mno", Module + "/dane/publish", Module + "/profile"}, false},
		{"registry", []string{Module + "/transfer"}, true},
		{"registry", []string{"net/http"}, true},
		{"registry/web", []string{"net/http", Module + "/registry/web/limit"}, false},
		{"registry/memory", []string{"net/http"}, true},
		{"registry/web/rdap", []string{"net/http", Module + "/registry"}, false},
		{"registry/web/rdap", []string{Module + "/registry/web/limit"}, true},
		{"registry/web/webhook", []string{Module + "/registry/web"}, true},
		{"registry/web/metrics", []string{"github.com/prometheus/client_golang/prometheus"}, true},
		{"registry/web/limit", []string{"net/http"}, false},
		{"registry/web/limit", []string{Module + "/registry"}, true},
		{"registry/web", []string{"net/http", Module + "/transfer", Module + "/internal/strictjson"}, false},
		{"registry/web", []string{"github.com/go-chi/chi/v5"}, true},
		{"registry/sqlite", []string{"net/http"}, true},
		{"registry/eid", []string{Module + "/registry"}, true},
		{"registry/audit", []string{"crypto/x509", "encoding/json"}, false},
		{"registry/audit", []string{Module + "/registry/eid"}, true},
		{"registry/audit", []string{"golang.org/x/crypto/ed25519"}, true},
		{"registry/audit", []string{"net/http"}, true},
		{"internal/sqlstore", []string{Module + "/registry/audit"}, false},
		{"registry", []string{Module + "/registry/claim", Module + "/internal/csvfile"}, false},
		{"registry/claim", []string{Module + "/registry/eid", Module + "/profile", Module + "/internal/csvfile"}, false},
		{"registry/claim", []string{Module + "/registry"}, true},
		{"registry/claim", []string{"net/http"}, true},
		{"internal/csvfile", []string{Module + "/registry/eid"}, true},
		{"registry/sqlite", []string{"modernc.org/sqlite"}, true},
		{"registry/sqlite", []string{"database/sql"}, false},
		{"registry/postgres", []string{"github.com/jackc/pgx/v5/pgxpool"}, false},
		{"registry/registrytest", []string{testify}, true},
		{"transfer", []string{Module + "/registry", Module + "/mno"}, false},
		{"transfer", []string{Module + "/examples/ottawa"}, true},
		{"internal/bertlv", []string{"golang.org/x/crypto/cryptobyte"}, true},
		{"internal/sqlstore", []string{"modernc.org/sqlite"}, true},
		{"examples/ottawa", []string{"modernc.org/sqlite", Module + "/transfer"}, false},
		{"examples/ottawa", []string{testify}, true},
		{"examples/ottawa", []string{"go.step.sm/crypto/pemutil"}, true},
		{"examples/internal/keys", []string{"go.step.sm/crypto/pemutil"}, false},
		{"examples/internal/keys", []string{"go.step.sm/crypto/tpm"}, true},
		{"examples/asp", []string{"github.com/mochi-mqtt/server/v2"}, false},
		{"examples/asp", []string{"github.com/eclipse/paho.golang/paho"}, true},
		{"examples/device", []string{"github.com/eclipse/paho.golang/paho"}, false},
		{"examples/device", []string{"github.com/mochi-mqtt/server/v2"}, true},
		{"examples/internal/aspd", []string{"github.com/mochi-mqtt/server/v2"}, true},
		{"registry", []string{"github.com/eclipse/paho.golang/paho"}, true},
		{"registry", []string{"math/rand/v2"}, true},
		{"mno/mnosim", []string{"math/rand/v2"}, false},
	}
	for _, c := range cases {
		p := &Package{ImportPath: Module + "/" + c.pkg, Imports: c.deps, Deps: c.deps}
		byPath := map[string]*Package{}
		for _, dep := range c.deps {
			first, _, _ := strings.Cut(dep, "/")
			byPath[dep] = &Package{ImportPath: dep, Standard: !strings.Contains(first, ".")}
		}
		var broken []string
		for _, r := range rules {
			if r.about(c.pkg) {
				broken = append(broken, r.check(p, byPath)...)
			}
		}
		require.Equal(t, c.bad, len(broken) > 0, "%s with %v: %v", c.pkg, c.deps, broken)
	}
}
