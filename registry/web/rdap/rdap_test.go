package rdap_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
	"github.com/iotregistry/sdk/registry/web/rdap"
	"github.com/stretchr/testify/require"
)

var (
	update = flag.Bool("update", false, "write testdata anew")
	nobody registry.Actor
)

func TestGoldenAnswers(t *testing.T) {
	h := newHandler(t)
	for _, c := range []struct {
		file, path string
		actor      registry.Actor
		code       int
	}{
		{"owner.json", "/rdap/device/1000000000000001", city, 200},
		{"public.json", "/rdap/device/1000000000000001", nobody, 200},
		{"deleted.json", "/rdap/device/89049032123451234512345678901235", nobody, 200},
		{"fresh.json", "/rdap/device/1000000000000002", root, 200},
		{"help.json", "/rdap/help", nobody, 200},
		{"notfound.json", "/rdap/device/1000000000000003", nobody, 404},
		{"badid.json", "/rdap/device/meter", nobody, 400},
	} {
		w := ask(h, "GET", c.path, c.actor)
		require.Equal(t, c.code, w.Code, c.file)
		require.Equal(t, "application/rdap+json", w.Header().Get("Content-Type"))
		file := filepath.Join("testdata", c.file)
		if *update {
			require.NoError(t, os.WriteFile(file, w.Body.Bytes(), 0o644))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), w.Body.String(), c.file)
		doc := decode(t, w.Body.Bytes())
		follows(t, doc)
		if c.code != 200 {
			require.EqualValues(t, c.code, doc["errorCode"])
		}
	}
}

// Every path that is said to be redacted leads to something in the whole answer.
func TestRedactionsNameWhatIsThere(t *testing.T) {
	t.Parallel()
	h := newHandler(t)
	whole := decode(t, ask(h, "GET", "/rdap/device/1000000000000001", city).Body.Bytes())
	public := decode(t, ask(h, "GET", "/rdap/device/1000000000000001", nobody).Body.Bytes())
	require.NotContains(t, whole, "redacted")
	paths := 0
	for _, r := range list(public["redacted"]) {
		require.Len(t, jsonPath(t, whole, r.(map[string]any)["prePath"].(string)), 1)
		paths++
	}
	require.Equal(t, 5, paths)
	for name := range whole {
		require.True(t, public[name] != nil || strings.HasPrefix(name, "iotreg_0_"), "%s went without a word", name)
	}
}

func TestWhoSeesWhat(t *testing.T) {
	t.Parallel()
	const public, whole = "public", "whole"
	type row struct {
		rule          string
		actor         registry.Actor
		path          string
		open, private any // what is answered where Public is true and where it is false
	}
	for _, c := range []row{
		{"nobody", nobody, "1000000000000001", public, 401},
		{"nobody, of no device", nobody, "1000000000000003", 404, 401},
		{"nobody, of no ID", nobody, "meter", 400, 401},
		{"the sponsor", parko, "1000000000000001", whole, whole},
		{"the owner", city, "1000000000000001", whole, whole},
		{"its operator", telco, "1000000000000001", whole, whole},
		{"the registry", root, "1000000000000001", whole, whole},
		{"an auditor", auditor, "1000000000000001", whole, whole},
		{"the sponsor before", carPark, "1000000000000001", public, 404},
		{"a maker", maker, "1000000000000001", public, 404},
		{"somebody known, of no device", carPark, "1000000000000003", 404, 404},
		{"somebody known, of no ID", carPark, "meter", 400, 400},
	} {
		for open, want := range map[bool]any{true: c.open, false: c.private} {
			t.Run(fmt.Sprintf("%s, public %v", c.rule, open), func(t *testing.T) {
				t.Parallel()
				w := ask(newHandler(t, func(cfg *rdap.Config) { cfg.Public = open }), "GET", "/rdap/device/"+c.path, c.actor)
				follows(t, decode(t, w.Body.Bytes()))
				require.Equal(t, want, verdict(w))
				for _, secret := range []string{"City of Ottawa", "Meter", "key-of-the-euicc", "telco", "carparkserv"} {
					if want != whole {
						require.NotContains(t, w.Body.String(), secret)
					}
				}
			})
		}
	}
}

func verdict(w *httptest.ResponseRecorder) any {
	switch {
	case w.Code != 200:
		return w.Code
	case strings.Contains(w.Body.String(), `"redacted": [`):
		return "public"
	}
	return "whole"
}

// Byte for byte: a private registry says nothing about which devices exist.
func TestPrivateAnswersAreTheSame(t *testing.T) {
	t.Parallel()
	h := newHandler(t, func(cfg *rdap.Config) { cfg.Public = false })
	for rule, actor := range map[string]registry.Actor{"nobody": nobody, "another provider": carPark} {
		there, gone := ask(h, "GET", "/rdap/device/1000000000000001", actor), ask(h, "GET", "/rdap/device/1000000000000003", actor)
		require.Equal(t, there.Code, gone.Code, rule)
		require.Equal(t, there.Header(), gone.Header(), rule)
		require.Equal(t, there.Body.String(), gone.Body.String(), rule)
	}
	require.NotEmpty(t, ask(h, "GET", "/rdap/device/1000000000000001", nobody).Header().Get("WWW-Authenticate"))
	require.Equal(t, 200, ask(h, "GET", "/rdap/help", nobody).Code)

	blind := newHandler(t, func(cfg *rdap.Config) { cfg.Public, cfg.Actor = false, nil })
	require.Equal(t, 401, ask(blind, "GET", "/rdap/device/1000000000000001", root).Code, "without Actor nobody is known")
}

func TestRequests(t *testing.T) {
	t.Parallel()
	h := newHandler(t)
	for _, c := range []struct {
		rule, method, path string
		code               int
	}{
		{"an ID", "GET", "/rdap/device/1000000000000001", 200},
		{"a handle", "GET", "/rdap/device/1000000000000001-IOTREG", 200},
		{"a handle in lower case", "GET", "/rdap/device/1000000000000001-iotreg", 200},
		{"another registry's handle", "GET", "/rdap/device/1000000000000001-OTHER", 400},
		{"only a tag", "GET", "/rdap/device/-IOTREG", 400},
		{"the path with a prefix", "GET", "/rdap/iotreg_0_device/1000000000000001", 200},
		{"no ID", "GET", "/rdap/device/", 400},
		{"nothing after the class", "GET", "/rdap/device", 400},
		{"something after the ID", "GET", "/rdap/device/1000000000000001/x", 400},
		{"an EID with a wrong check digit", "GET", "/rdap/device/89049032123451234512345678901236", 400},
		{"an endless ID", "GET", "/rdap/device/" + strings.Repeat("1", 1<<16), 400},
		{"a class that we do not have", "GET", "/rdap/domain/example.com", 400},
		{"nothing", "GET", "/rdap/", 400},
		{"help", "GET", "/rdap/help", 200},
		{"help has no parts", "GET", "/rdap/help/me", 400},
		{"HEAD", "HEAD", "/rdap/device/1000000000000001", 200},
		{"HEAD of no device", "HEAD", "/rdap/device/1000000000000003", 404},
		{"a browser that asks whether it may", "OPTIONS", "/rdap/device/1000000000000001", 204},
		{"writing", "POST", "/rdap/device/1000000000000001", 405},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			w := ask(h, c.method, c.path, nobody)
			require.Equal(t, c.code, w.Code)
			require.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"), "RFC 7480 section 5.6")
			switch c.method {
			case "HEAD":
				require.Empty(t, w.Body.String())
				require.Equal(t, fmt.Sprint(ask(h, "GET", c.path, nobody).Body.Len()), w.Header().Get("Content-Length"))
			case "OPTIONS":
				require.Equal(t, "Authorization", w.Header().Get("Access-Control-Allow-Headers"))
			default:
				follows(t, decode(t, w.Body.Bytes()))
			}
		})
	}
}

func TestCaching(t *testing.T) {
	t.Parallel()
	h := newHandler(t, func(cfg *rdap.Config) { cfg.MaxAge = 1500 * time.Millisecond })
	for _, c := range []struct {
		rule  string
		path  string
		actor registry.Actor
		want  string
	}{
		{"for everybody", "/rdap/device/1000000000000001", nobody, "public, max-age=2"},
		{"help", "/rdap/help", nobody, "public, max-age=2"},
		{"for one account", "/rdap/device/1000000000000001", city, "no-store"},
		{"for one account, the public part", "/rdap/device/1000000000000001", carPark, "no-store"},
		{"an error", "/rdap/device/1000000000000003", nobody, "no-store"},
	} {
		require.Equal(t, c.want, ask(h, "GET", c.path, c.actor).Header().Get("Cache-Control"), c.rule)
	}
	require.Equal(t, "Authorization", ask(h, "GET", "/rdap/device/1000000000000001", nobody).Header().Get("Vary"))
}

func TestLimit(t *testing.T) {
	t.Parallel()
	var asked []registry.Actor
	h := newHandler(t, func(cfg *rdap.Config) {
		cfg.Limit = func(_ *http.Request, a registry.Actor) (bool, time.Duration) {
			asked = append(asked, a)
			return a == parko, 1500 * time.Millisecond
		}
	})
	require.Equal(t, 200, ask(h, "GET", "/rdap/device/1000000000000001", parko).Code)
	w := ask(h, "GET", "/rdap/device/1000000000000001", nobody)
	require.Equal(t, 429, w.Code)
	require.Equal(t, "2", w.Header().Get("Retry-After"))
	follows(t, decode(t, w.Body.Bytes()))
	require.Equal(t, []registry.Actor{parko, nobody}, asked)
	require.Equal(t, 200, ask(h, "GET", "/rdap/help", nobody).Code)
}

func TestFailuresInsideStayInside(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := newHandler(t, func(cfg *rdap.Config) {
		cfg.Engine, cfg.Logger = office{err: errors.New("password of the store is x")}, slog.New(slog.NewTextHandler(&log, nil))
	})
	w := ask(h, "GET", "/rdap/device/1000000000000001", nobody)
	require.Equal(t, 500, w.Code)
	require.NotContains(t, w.Body.String(), "password")
	require.Contains(t, log.String(), "password", "the operator learns it")
	follows(t, decode(t, w.Body.Bytes()))
}

// RFC 8056 section 2, for every status that a device of ours can have.
func TestStatuses(t *testing.T) {
	t.Parallel()
	for epp, want := range map[registry.Status]string{
		"clientTransferProhibited": "client transfer prohibited", "serverTransferProhibited": "server transfer prohibited",
		"clientUpdateProhibited": "client update prohibited", "serverUpdateProhibited": "server update prohibited",
		"clientDeleteProhibited": "client delete prohibited", "serverDeleteProhibited": "server delete prohibited",
		"clientHold": "client hold", "serverHold": "server hold", "ok": "active", "inactive": "inactive",
		"pendingTransfer": "pending transfer", "transferPeriod": "transfer period",
		"redemptionPeriod": "redemption period", "pendingDelete": "pending delete", "unheardOf": "",
	} {
		got := rdap.Statuses([]registry.Status{epp})
		if want == "" {
			require.Empty(t, got)
			continue
		}
		require.Equal(t, []string{want}, got)
		require.Contains(t, statusValues, want)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for rule, change := range map[string]func(*rdap.Config){
		"no engine":                    func(c *rdap.Config) { c.Engine = nil },
		"a tag with a hyphen":          func(c *rdap.Config) { c.Tag = "IOT-REG" },
		"a negative age":               func(c *rdap.Config) { c.MaxAge = -1 },
		"a base without a host":        func(c *rdap.Config) { c.Base = "/rdap/" },
		"a base without a slash":       func(c *rdap.Config) { c.Base = "https://iotregistry.ca/rdap" },
		"a base of another scheme":     func(c *rdap.Config) { c.Base = "ftp://iotregistry.ca/" },
		"a base that is none":          func(c *rdap.Config) { c.Base = "https://iotregistry.ca:x/" },
		"a notice without description": func(c *rdap.Config) { c.Notices = []rdap.Notice{{Title: "x"}} },
	} {
		cfg := rdap.Config{Engine: office{}}
		change(&cfg)
		_, err := rdap.New(cfg)
		require.ErrorIs(t, err, rdap.ErrConfig, rule)
	}
	h, err := rdap.New(rdap.Config{Engine: office{}, Public: true, Tag: "X1"})
	require.NoError(t, err)
	doc := decode(t, ask(h, "GET", "/rdap/device/1000000000000001-X1", nobody).Body.Bytes())
	require.Equal(t, "1000000000000001-X1", doc["handle"])
	require.NotContains(t, doc, "links", "who does not know its URL makes no links")
}

// Whatever is asked for, the answer is RDAP, says no more than it may, and repeats
// nothing that could be a script.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/rdap/device/1000000000000001", "/rdap/device/89049032123451234512345678901235-IOTREG", "/rdap/help", "/rdap/", "",
		"/rdap/device/ 1000000000000002 ", "/rdap/device/\xff", "/rdap/iotreg_0_device/1", "/rdap/device/<script>", "/rdap/device/8904 9032",
	} {
		f.Add(seed)
	}
	h := newHandler(f)
	f.Fuzz(func(t *testing.T, path string) {
		w := ask(h, "GET", path, nobody)
		require.Contains(t, []int{200, 400, 404}, w.Code)
		doc := decode(t, w.Body.Bytes())
		follows(t, doc)
		if handle, ok := doc["handle"].(string); ok {
			_, err := eid.Parse(strings.TrimSuffix(handle, "-IOTREG"))
			require.NoError(t, err)
			require.Equal(t, "public", verdict(w))
		}
	})
}

func ExampleHandler() {
	lookup, err := rdap.New(rdap.Config{Engine: office{}, Public: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/rdap/", lookup)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/rdap/device/1000000000000002", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	for line := range strings.Lines(w.Body.String()) {
		if strings.Contains(line, "handle") || strings.Contains(line, "inactive") {
			fmt.Println(strings.TrimSpace(line))
		}
	}
	// Output:
	// 200 application/rdap+json
	// "handle": "1000000000000002-IOTREG",
	// "inactive"
	// "handle": "unnamed-IOTREG",
}

// Callers who hang up are no failure of the registry's.
func TestWhoHasLeftIsNotLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := newHandler(t, func(c *rdap.Config) {
		c.Engine, c.Logger = office{err: fmt.Errorf("read: %w", context.Canceled)}, slog.New(slog.NewTextHandler(&log, nil))
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/rdap/device/1000000000000001", nil))
	require.Empty(t, log.String())
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/rdap/device/1000000000000001", nil))
	require.Contains(t, log.String(), "look-up failed")
}
