package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// rule limits what the packages it is about may link, directly or through
// others. Paths of this repository are written without the module; "x/..." is
// x and all below it.
type rule struct {
	of     []string // the packages it is about
	except []string // and those among them it is not about
	own    []string // packages of this repository they may use; nil: any
	others []string // packages of other modules they may use; nil: any
	never  []string // packages, also of the standard library, they may not use
	direct bool     // look at their own import lines only, tests' included
	code   bool     // look at their own import lines only, without the tests'
	why    string
}

// Groups of packages that rules share.
var (
	none     = []string{} // allows nothing, unlike nil
	xDNS     = []string{"golang.org/x/...", "github.com/miekg/dns/..."}
	wire     = []string{"internal/bertlv/...", "internal/apdu/...", "internal/rsp/...", "internal/bsp/...", "internal/iotsafe/..."}
	rooms    = []string{"dane/...", "profile/...", "mno/...", "registry/...", "transfer/..."}
	drivers  = []string{"modernc.org/sqlite/...", "github.com/mattn/go-sqlite3/...", "github.com/lib/pq/...", "github.com/jackc/..."}
	webParts = []string{"registry/web/rdap/...", "registry/web/metrics/...", "registry/web/limit/...", "registry/web/webhook/..."}
	testOnly = []string{"github.com/stretchr/testify/...", "github.com/google/go-tpm-tools/...", "github.com/rogpeppe/go-internal/..."}
)

var rules = []rule{
	{
		of: []string{"dane/..."}, own: []string{"dane/..."}, others: xDNS,
		why: "a device builder pays for DNS and nothing else: three modules, no server, no database",
	},
	{
		of: []string{"dane", "dane/dnssec"}, never: []string{"net/http", "database/sql", "go.step.sm/...", "github.com/google/go-tpm/..."},
		why: "an HTTP stack doubles a device's binary; DNS over HTTPS lives in a leaf of its own",
	},
	{
		of: []string{"registry/eid/..."}, own: []string{"registry/eid/..."}, others: none,
		why: "device IDs are shared by all rooms, so they may drag nothing along",
	},
	{
		of: []string{"registry/audit/..."}, own: []string{"registry/audit/..."}, others: none,
		never: []string{"net/http", "database/sql"},
		why:   "an auditor checks an export offline and reads all the code that does it; the registry calls it, never the reverse",
	},
	{
		of: wire, own: append([]string{"registry/eid"}, wire...), others: none,
		why: "wire formats are fuzzed and reused alone; they know bytes, not business",
	},
	{
		of: []string{"profile/..."}, except: []string{"profile/device/..."},
		own:    append([]string{"profile/...", "registry/eid"}, wire...),
		others: []string{"golang.org/x/...", "github.com/google/go-tpm/..."},
		why:    "the profile is opaque to operator and registry; only profile/device joins it to dane, as a device does",
	},
	{
		of: []string{"profile/device/..."}, own: append([]string{"profile/...", "dane/...", "registry/eid"}, wire...),
		others: append([]string{"github.com/google/go-tpm/..."}, xDNS...),
		why:    "a device's runtime opens its profile and verifies its cloud; it never speaks to operator or registry code",
	},
	{
		of: []string{"..."}, except: []string{"profile/euicc/tpmkeys/...", "examples/..."}, never: []string{"github.com/google/go-tpm/..."},
		why: "TPM access is one leaf; everything else takes a crypto.Signer or an ecdh.KeyExchanger",
	},
	{
		of: []string{"mno/..."}, own: append([]string{"mno/...", "registry/eid", "internal/strictjson", "internal/retry"}, wire...), others: none,
		why: "an operator builds this against the standard library; it carries sealed profiles without knowing them",
	},
	{
		of: []string{"registry/..."}, except: []string{"registry/eid/...", "registry/postgres/...", "registry/web/..."},
		own:    append([]string{"registry/...", "dane/...", "profile/...", "mno/...", "internal/sqlstore", "internal/csvfile", "internal/strictjson", "internal/retry"}, wire...),
		others: xDNS,
		why:    "the registry ties the rooms below it together; the SQL driver is its user's choice",
	},
	{
		of:     []string{"registry/postgres/..."},
		own:    append([]string{"registry/...", "dane/...", "profile/...", "mno/...", "internal/sqlstore", "internal/csvfile", "internal/strictjson", "internal/retry"}, wire...),
		others: append([]string{"github.com/jackc/..."}, xDNS...),
		why:    "a *pgxpool.Pool cannot be named without pgx: the one store that knows its driver",
	},
	{
		of:     []string{"registry/web/..."},
		own:    append([]string{"registry/...", "transfer/...", "dane/...", "profile/...", "mno/...", "internal/csvfile", "internal/strictjson", "internal/retry"}, wire...),
		others: xDNS,
		why:    "the front of registry and transfers serves both over one handler; it needs nothing but the standard library",
	},
	{
		of: []string{"internal/retry/..."}, own: none, others: none,
		why: "waiting and trying again is the same for every protocol over HTTP",
	},
	{
		of: []string{"internal/strictjson/..."}, own: []string{"internal/strictjson/..."}, others: none,
		why: "what others send is decoded equally strictly everywhere",
	},
	{
		of: []string{"registry/claim/..."}, own: append([]string{"registry/claim/...", "registry/eid", "profile", "internal/csvfile"}, wire...),
		others: []string{"golang.org/x/..."}, never: []string{"net/http", "database/sql"},
		why: "makers check their files with it before they hand them out, and registry imports it",
	},
	{
		of: []string{"internal/csvfile/..."}, own: []string{"internal/csvfile/..."}, others: none,
		why: "owners' and makers' lists are read by one parser that knows cells and rows, not what they mean",
	},
	{
		of: []string{"registry/...", "transfer/..."}, except: []string{"registry/web/..."}, never: []string{"net/http"},
		why: "the service is called in process; HTTP is registry/web's and mno/es2's matter",
	},
	{
		of: webParts, never: append([]string{"registry/web"}, webParts...),
		why: "each part of the front is imported alone, and the front joins them",
	},
	{
		of: []string{"registry/web/limit/..."}, own: none, others: none,
		why: "counting calls has nothing to do with devices; any server can use it",
	},
	{
		of: []string{"registry/web/rdap/...", "registry/web/metrics/...", "registry/web/webhook/..."}, never: []string{"database/sql"},
		why: "they read through the engine's calls, which say who may see what, and never the store",
	},
	{
		of: []string{"registry/..."}, except: []string{"registry/eid/...", "registry/web/..."}, never: []string{Module + "/transfer/..."},
		why: "arrows only go down: transfer imports registry; only the web front stands above both",
	},
	{
		of: []string{"transfer/..."}, own: append([]string{"internal/sqlstore", "internal/csvfile", "internal/strictjson", "internal/retry"}, append(slices.Clone(rooms), wire...)...), others: xDNS,
		why: "the top room: policy over what is below, no dependency of its own",
	},
	{
		of:     []string{"internal/sqlstore/..."},
		own:    append([]string{"internal/sqlstore/...", "internal/csvfile", "registry", "registry/eid", "registry/audit", "registry/claim", "dane/...", "profile/...", "mno/..."}, wire...),
		others: xDNS,
		why:    "the stores' common half knows the registry's types and a *sql.DB; which driver made it is its caller's matter",
	},
	{
		of: []string{"internal/archtest/...", "internal/api/..."}, own: []string{"internal/..."}, others: none,
		why: "checks must run where nothing else builds",
	},
	{
		of: rooms, never: append([]string{Module + "/examples/..."}, testOnly...),
		why: "programs and test tools stand on the library, never under it",
	},
	{
		of: []string{"examples/..."}, never: testOnly,
		why: "a test library once linked stays in every binary",
	},
	{
		of: rooms, except: []string{"registry/postgres/..."}, never: drivers,
		why: "stores take *sql.DB: the driver, and its megabytes, is chosen by the program",
	},
	{
		of: []string{"..."}, except: []string{"examples/internal/keys"}, never: []string{"go.step.sm/..."}, direct: true,
		why: "key management is one leaf, so that another one replaces one package",
	},
	{
		of: []string{"..."}, never: []string{
			"go.step.sm/crypto/x509util", "go.step.sm/crypto/minica/...", "go.step.sm/crypto/tpm/...",
			"go.step.sm/crypto/kms/tpmkms", "go.step.sm/crypto/kms/cloudkms", "go.step.sm/crypto/kms/awskms", "go.step.sm/crypto/kms/azurekms",
		},
		why: "each drags dozens of modules for something the standard library does",
	},
	{
		of: []string{"..."}, except: []string{"examples/asp", "examples/device"}, never: []string{"github.com/mochi-mqtt/...", "github.com/eclipse/..."}, direct: true,
		why: "MQTT is how one provider and its devices talk; the library does not care what runs over its TLS",
	},
	{
		of: []string{"..."}, except: []string{"examples/asp"}, never: []string{"github.com/mochi-mqtt/..."},
		why: "the broker is the cloud's alone, tests included; what devices need of MQTT is a client",
	},
	{
		of: []string{"examples/asp"}, never: []string{"github.com/eclipse/..."}, code: true,
		why: "the cloud needs an MQTT client in its tests only",
	},
	{
		of: []string{"..."}, except: []string{"mno/mnosim", "dane/danetest", "examples/..."}, never: []string{"math/rand", "math/rand/v2"}, code: true,
		why: "identifiers, codes and nonces come from crypto/rand; only what injects faults by seed needs the other, and tests",
	},
}

// about reports whether r limits the package at path.
func (r *rule) about(path string) bool {
	return anyMatches(r.of, path) && !anyMatches(r.except, path)
}

// check returns one line for each forbidden package that p links. What comes in
// through a package that is named already is not named again.
func (r *rule) check(p *Package, byPath map[string]*Package) []string {
	deps := p.Deps
	switch {
	case r.direct:
		deps = slices.Concat(p.Imports, p.TestImports, p.XTestImports)
	case r.code:
		deps = p.Imports
	}
	var broken []string
	for _, dep := range deps {
		if r.allows(dep, byPath[dep]) {
			continue
		}
		through := via(p, dep, byPath)
		if through == "" {
			broken = append(broken, fmt.Sprintf("%s imports %s; why not: %s", p.Rel(), dep, r.why))
		} else if r.allows(through, byPath[through]) {
			broken = append(broken, fmt.Sprintf("%s links %s through %s; why not: %s", p.Rel(), dep, through, r.why))
		}
	}
	return broken
}

func (r *rule) allows(path string, p *Package) bool {
	if anyMatches(r.never, path) || anyMatches(r.never, rel(path)) {
		return false
	}
	switch {
	case path == Module || strings.HasPrefix(path, Module+"/"):
		return r.own == nil || anyMatches(r.own, rel(path))
	case p == nil || p.Standard: // nil: only a test's import, or "C"
		return true
	default:
		return r.others == nil || anyMatches(r.others, path)
	}
}

// via names the import of p through which dep comes; empty where p imports dep
// itself.
func via(p *Package, dep string, byPath map[string]*Package) string {
	if slices.Contains(p.Imports, dep) {
		return ""
	}
	for _, step := range p.Imports {
		if next := byPath[step]; next != nil && slices.Contains(next.Deps, dep) {
			return step
		}
	}
	return ""
}
