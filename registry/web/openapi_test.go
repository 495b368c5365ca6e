package web_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/web"
)

var update = flag.Bool("update", false, "write openapi.json anew")

func TestOpenAPIIsTheOneCheckedIn(t *testing.T) {
	t.Parallel()
	got, err := web.OpenAPI()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("openapi.json", got, 0o644))
		return
	}
	want, err := os.ReadFile("openapi.json")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "the API changed: if it is meant, run go test ./registry/web -run OpenAPI -update")
}

type anyMap = map[string]any

func spec(t testing.TB) anyMap {
	data, err := web.OpenAPI()
	require.NoError(t, err)
	var doc anyMap
	require.NoError(t, json.Unmarshal(data, &doc))
	return doc
}

// Every route of the mux is in the document, and the other way round.
func TestEveryRouteIsInTheDocument(t *testing.T) {
	t.Parallel()
	var documented []string
	ids := map[any]bool{}
	for path, ops := range spec(t)["paths"].(anyMap) {
		for method, op := range ops.(anyMap) {
			documented = append(documented, strings.ToUpper(method)+" "+path)
			id := op.(anyMap)["operationId"]
			require.False(t, ids[id], "operation %s twice", id)
			ids[id] = true
		}
	}
	require.ElementsMatch(t, web.Patterns(), documented)

	b := newBench(t)
	for path, ops := range spec(t)["paths"].(anyMap) {
		res, text := b.raw(registry.Actor{}, http.MethodTrace, strings.NewReplacer("{id}", "1", "{profile}", "1").Replace(path), "")
		require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode, "%s", path)
		require.Equal(t, "method", problem(t, text).Kind)
		var want []string
		for method := range ops.(anyMap) {
			want = append(want, strings.ToUpper(method))
		}
		if slices.Contains(want, "GET") {
			want = append(want, "HEAD")
		}
		require.ElementsMatch(t, want, strings.Split(res.Header.Get("Allow"), ", "), "%s", path)
	}
}

func TestTheDocumentIsServedToEverybody(t *testing.T) {
	t.Parallel()
	want, err := web.OpenAPI()
	require.NoError(t, err)
	res, text := newBench(t).raw(registry.Actor{}, http.MethodGet, "/openapi.json", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, string(want), text)
}
