package rdap_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web/rdap"
	"github.com/stretchr/testify/require"
)

var (
	begin = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	meter = eid.MustParse("1000000000000001")
	card  = eid.MustParse("89049032123451234512345678901235")
	fresh = eid.MustParse("1000000000000002")

	root    = registry.Actor{Account: "registry", Role: registry.RoleOperator}
	parko   = registry.Actor{Account: "parkoserv", Role: registry.RoleASP}
	carPark = registry.Actor{Account: "carparkserv", Role: registry.RoleASP}
	city    = registry.Actor{Account: "ottawa", Role: registry.RoleOwner}
	telco   = registry.Actor{Account: "telco", Role: registry.RoleMNO}
	maker   = registry.Actor{Account: "maker", Role: registry.RoleMaker}
	auditor = registry.Actor{Account: "auditor", Role: registry.RoleAuditor}
)

// office is an engine with three devices; the key is made up.
type office struct{ err error }

func (o office) Device(_ context.Context, actor registry.Actor, id eid.ID) (*registry.Device, error) {
	d := map[eid.ID]*registry.Device{
		meter: {
			ID: meter, Model: "Parking <Meter>", Version: "1.0", Sponsor: "parkoserv", Owner: "ottawa", MNO: "telco", Key: "key-of-the-euicc",
			Status: []registry.Status{registry.StatusClientTransferProhibited, registry.StatusServerHold}, Profile: 16, Retired: []uint64{11},
			From: "carparkserv", Moved: begin.Add(time.Hour), Undo: begin.Add(48 * time.Hour), Created: begin, Updated: begin.Add(2 * time.Hour),
		},
		card: {
			ID: card, Sponsor: "parkoserv", Owner: "ottawa", Profile: 12, Created: begin, Updated: begin.Add(time.Hour),
			Deleted: begin.Add(time.Hour), Redeem: begin.Add(30 * 24 * time.Hour), Purge: begin.Add(35 * 24 * time.Hour),
		},
		fresh: {ID: fresh, Sponsor: "unnamed", Owner: "ottawa", Created: begin.In(time.FixedZone("Ottawa", -5*3600)), Updated: begin},
	}[id]
	theirs := d != nil && (actor.Role == registry.RoleOperator || actor.Role == registry.RoleAuditor ||
		slices.Contains([]string{d.Sponsor, d.Owner, d.MNO}, actor.Account))
	switch {
	case o.err != nil:
		return nil, o.err
	case !theirs:
		return nil, &registry.Error{Op: "read", Device: id, Err: registry.ErrNotFound}
	}
	return d, nil
}

func (o office) Profiles(_ context.Context, actor registry.Actor, id eid.ID) ([]*registry.Profile, error) {
	if actor.Role != registry.RoleOperator {
		return nil, registry.ErrForbidden
	}
	all := []*registry.Profile{
		{ID: 11, Device: meter, Name: "11.1000000000000001.iotregistry.ca", NotAfter: begin.AddDate(9, 0, 0)},
		{ID: 12, Device: card, Name: "12.89049032123451234512345678901235.iotregistry.ca", NotAfter: begin.AddDate(10, 0, 0)},
		{ID: 16, Device: meter, Name: "16.1000000000000001.iotregistry.ca", NotAfter: begin.AddDate(10, 0, 0)},
	}
	return slices.DeleteFunc(all, func(p *registry.Profile) bool { return p.Device != id }), nil
}

func (o office) Account(_ context.Context, actor registry.Actor, id string) (*registry.Account, error) {
	names := map[string]string{"parkoserv": "ParkoServ Inc.", "ottawa": "City of Ottawa", "telco": "Telco"}
	switch {
	case actor.Role != registry.RoleOperator:
		return nil, registry.ErrForbidden
	case names[id] == "":
		return nil, &registry.Error{Op: "read", Err: registry.ErrUnknown}
	}
	return &registry.Account{ID: id, Name: names[id]}, nil
}

// who takes the header "As: role account" for the caller. A real one looks at
// credentials.
func who(r *http.Request) (registry.Actor, bool) {
	role, account, ok := strings.Cut(r.Header.Get("As"), " ")
	return registry.Actor{Account: account, Role: registry.Role(role)}, ok
}

func newHandler(t testing.TB, change ...func(*rdap.Config)) *rdap.Handler {
	cfg := rdap.Config{
		Engine: office{}, Actor: who, Public: true, Base: "https://iotregistry.ca/rdap/",
		Now: func() time.Time { return begin.Add(3 * time.Hour) },
		Notices: []rdap.Notice{{
			Title: "Terms of Use", Description: []string{"For finding out who answers for a device."},
			Links: []rdap.Link{{Value: "https://iotregistry.ca/rdap/help", Rel: "terms-of-service", Href: "https://iotregistry.ca/terms", Type: "text/html"}},
		}},
	}
	for _, f := range change {
		f(&cfg)
	}
	h, err := rdap.New(cfg)
	require.NoError(t, err)
	return h
}

// ask makes a request; the zero actor is nobody.
func ask(h http.Handler, method, path string, actor registry.Actor) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/", nil)
	r.URL = &url.URL{Path: path}
	if actor != (registry.Actor{}) {
		r.Header.Set("As", fmt.Sprintf("%s %s", actor.Role, actor.Account))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func decode(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(body, &v), "%s", body)
	return v
}
