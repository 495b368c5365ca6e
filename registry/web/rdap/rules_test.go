package rdap_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What follows are rules of RFC 9083 and RFC 9537 about answers, applied to whatever
// JSON there is and sharing no code with the package. They are this repository's
// reading of the documents; ICANN's rdap-conformance-tool knows no such class.

var (
	// Members of RFC 9083 sections 4 to 6 that an object of a class of its own may have.
	members = []string{
		"rdapConformance", "links", "notices", "remarks", "lang", "events", "status", "port43", "publicIds",
		"objectClassName", "handle", "ldhName", "unicodeName", "entities", "errorCode", "title", "description",
		"vcardArray", "roles", "asEventActor",
	}
	// RFC 9083 section 10.2.2 and RFC 8056 section 3.
	statusValues = []string{
		"validated", "renew prohibited", "update prohibited", "transfer prohibited", "delete prohibited", "proxy", "private",
		"removed", "obscured", "associated", "active", "inactive", "locked", "pending create", "pending renew",
		"pending transfer", "pending update", "pending delete",
		"add period", "auto renew period", "client delete prohibited", "client hold", "client renew prohibited",
		"client transfer prohibited", "client update prohibited", "pending restore", "redemption period", "renew period",
		"server delete prohibited", "server renew prohibited", "server transfer prohibited", "server update prohibited",
		"server hold", "transfer period",
	}
	// RFC 9083 section 10.2.3.
	eventActions = []string{
		"registration", "reregistration", "last changed", "expiration", "deletion", "reinstantiation", "transfer", "locked",
		"unlocked", "last update of RDAP database", "registrar expiration", "enum validation expiration",
	}
	// RFC 9083 section 10.2.4.
	roleValues = []string{
		"registrant", "technical", "administrative", "abuse", "billing", "registrar", "reseller", "sponsor", "proxy",
		"notifications", "noc",
	}
)

// follows checks a whole answer.
func follows(t testing.TB, doc map[string]any) {
	t.Helper()
	conformance := texts(t, doc["rdapConformance"])
	require.Contains(t, conformance, "rdap_level_0", "section 4.1: MUST in the topmost object")
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(conformance))), len(conformance))
	followsObject(t, doc, conformance, true)
	if red, ok := doc["redacted"]; ok {
		require.Contains(t, conformance, "redacted", "RFC 9537 section 4.1")
		for _, r := range red.([]any) {
			followsRedaction(t, doc, r.(map[string]any))
		}
	}
}

func followsObject(t testing.TB, o map[string]any, conformance []string, top bool) {
	t.Helper()
	for name := range o {
		ours := slices.ContainsFunc(conformance, func(c string) bool { return strings.HasPrefix(name, c+"_") })
		require.True(t, slices.Contains(members, name) || ours || name == "redacted" && top, "section 2.1: %q is no member and has no prefix", name)
	}
	require.Equal(t, top, o["rdapConformance"] != nil, "section 4.1: only in the topmost object")
	if o["errorCode"] == nil && o["notices"] == nil || o["handle"] != nil {
		require.NotEmpty(t, o["objectClassName"], "section 4.9")
	}
	if s, ok := o["status"]; ok {
		require.Subset(t, statusValues, texts(t, s), "section 10.2.2")
	}
	followsEvents(t, list(o["events"]))
	followsLinks(t, list(o["links"]))
	for _, n := range list(o["notices"]) {
		require.True(t, top, "section 4.3: only in the topmost object")
		require.NotEmpty(t, texts(t, n.(map[string]any)["description"]), "section 4.3: REQUIRED")
		followsLinks(t, list(n.(map[string]any)["links"]))
	}
	for _, e := range list(o["entities"]) {
		e := e.(map[string]any)
		require.Equal(t, "entity", e["objectClassName"], "section 5.1")
		require.Subset(t, roleValues, texts(t, e["roles"]), "section 10.2.4")
		followsCard(t, e["vcardArray"].([]any))
		followsObject(t, e, conformance, false)
	}
}

func followsEvents(t testing.TB, events []any) {
	t.Helper()
	seen := map[string]bool{}
	for _, e := range events {
		e := e.(map[string]any)
		action := e["eventAction"].(string)
		require.Contains(t, eventActions, action, "section 10.2.3")
		require.False(t, seen[action], "%q twice", action)
		seen[action] = true
		_, err := time.Parse(time.RFC3339, e["eventDate"].(string))
		require.NoError(t, err, "section 4.5")
	}
}

func followsLinks(t testing.TB, links []any) {
	t.Helper()
	for _, l := range links {
		for _, member := range []string{"href", "value"} {
			u, err := url.Parse(l.(map[string]any)[member].(string))
			require.NoError(t, err)
			require.True(t, u.IsAbs(), "section 4.2")
		}
		require.NotEmpty(t, l.(map[string]any)["rel"], "section 4.2")
	}
}

// followsCard checks a jCard (RFC 7095 section 3): version first, and an fn.
func followsCard(t testing.TB, c []any) {
	t.Helper()
	require.Len(t, c, 2)
	require.Equal(t, "vcard", c[0])
	var names []string
	for _, p := range c[1].([]any) {
		p := p.([]any)
		require.GreaterOrEqual(t, len(p), 4, "name, parameters, type, value")
		require.IsType(t, map[string]any{}, p[1])
		names = append(names, p[0].(string))
	}
	require.Equal(t, "version", names[0])
	require.Contains(t, names, "fn")
}

// followsRedaction checks an entry of "redacted" (RFC 9537 section 4.2).
func followsRedaction(t testing.TB, doc, r map[string]any) {
	t.Helper()
	for name := range r {
		require.Contains(t, []string{"name", "prePath", "postPath", "replacementPath", "pathLang", "method", "reason"}, name)
	}
	for _, member := range []string{"name", "reason"} {
		v := r[member].(map[string]any)
		require.Len(t, v, 1, "a type or a description")
		require.NotEmpty(t, v["description"])
	}
	require.Equal(t, "jsonpath", r["pathLang"])
	require.Equal(t, "removal", r["method"])
	require.Nil(t, r["postPath"], "what was removed is at no path afterwards")
	require.Empty(t, jsonPath(t, doc, r["prePath"].(string)), "%s is still there", r["prePath"])
}

// jsonPath evaluates the two forms that our redactions have, $.member and
// $.entities[?(@.roles[0]=='role')].
func jsonPath(t testing.TB, doc map[string]any, path string) []any {
	t.Helper()
	path, ok := strings.CutPrefix(path, "$.")
	require.True(t, ok)
	name, filter, filtered := strings.Cut(path, "[?(@.roles[0]=='")
	if !filtered {
		if v, ok := doc[name]; ok {
			return []any{v}
		}
		return nil
	}
	role, ok := strings.CutSuffix(filter, "')]")
	require.True(t, ok)
	return slices.DeleteFunc(slices.Clone(list(doc[name])), func(e any) bool {
		return texts(t, e.(map[string]any)["roles"])[0] != role
	})
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func texts(t testing.TB, v any) []string {
	t.Helper()
	var out []string
	for _, e := range list(v) {
		require.IsType(t, "", e)
		out = append(out, e.(string))
	}
	return out
}
