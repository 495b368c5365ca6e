package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/smdp"
)

const testEID = "89049032123451234512345678901235"

// Errors name the line of the file and the member.
func TestParseOrders(t *testing.T) {
	t.Parallel()
	good := `{"eid":"` + testEID + `","profileType":"iot"}`
	for name, row := range map[string]struct{ text, want string }{
		"no array":               {`{}`, "line 1"},
		"empty":                  {``, "line 1"},
		"no end":                 {"[" + good, "line 1"},
		"more after it":          {"[]\n[]", "line 2"},
		"no JSON":                {"[" + good + ",\n\n{\"eid\":}]", "line 3"},
		"unknown member":         {"[\n" + good + ",\n{\"EIDD\":\"1\"}\n]", "line 3, order 2: json: unknown field \"EIDD\""},
		"member twice":           {"[\n{\"eid\":\"1\",\"eid\":\"2\"}]", "line 2, order 1"},
		"wrong type":             {"[\n{\"eid\":7}]", "eid"},
		"not an object":          {"[\n7]", "line 2, order 1"},
		"EID missing":            {"[\n\n{\"profileType\":\"iot\"}]", "line 3, order 1: eid"},
		"EID mistyped":           {"[{\"eid\":\"89049032123451234512345678901236\",\"profileType\":\"iot\"}]", "order 1: eid"},
		"device ID of a meter":   {"[{\"eid\":\"1000000000000001\",\"profileType\":\"iot\"}]", "order 1: eid"},
		"ICCID mistyped":         {"[{\"eid\":\"" + testEID + "\",\"profileType\":\"iot\",\"iccid\":\"12\"}]", "order 1: iccid"},
		"no profile type":        {"[{\"eid\":\"" + testEID + "\"}]", "order 1: profileType"},
		"matching ID in small":   {"[{\"eid\":\"" + testEID + "\",\"profileType\":\"iot\",\"matchingId\":\"abc\"}]", "order 1: matchingId"},
		"confirmation code long": {"[{\"eid\":\"" + testEID + "\",\"profileType\":\"iot\",\"confirmationCode\":\"" + strings.Repeat("1", 300) + "\"}]", "order 1: confirmationCode"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseOrders([]byte(row.text))
			require.ErrorContains(t, err, row.want)
			path := filepath.Join(t.TempDir(), "orders.json")
			require.NoError(t, os.WriteFile(path, []byte(row.text), 0o600))
			code, _, stderr := once(t, "-data", filepath.Join(t.TempDir(), "data"), "-es2", "127.0.0.1:0", "-es9", "127.0.0.1:0", "-esipa", "127.0.0.1:0", "-orders", path)
			require.Equal(t, 2, code)
			require.Contains(t, stderr, path)
			require.Contains(t, stderr, row.want)
		})
	}
}

// A later start with the same store finds what an earlier one made, and what it
// left half done.
func TestOrdersAreMadeOnce(t *testing.T) {
	t.Parallel()
	text := `[
		{"eid":"` + testEID + `","profileType":"iot"},
		{"eid":"` + testEID + `","profileType":"iot"},
		{"eid":"` + testEID + `","profileType":"iot","iccid":"8944476500001224158","matchingId":"ONE","confirmationCode":"1234"},
		{"eid":"` + testEID + `","profileType":"iot","matchingId":""}
	]`
	store := new(smdp.Memory)
	var before []provisioned
	for range 3 {
		e, err := smdp.New(smdp.Config{Address: "smdp.example", Store: store})
		require.NoError(t, err)
		list, err := parseOrders([]byte(text))
		require.NoError(t, err)
		made, err := provision(t.Context(), e, "smdp.example", list)
		require.NoError(t, err)
		require.Len(t, made, 4)
		for _, p := range made {
			stored, err := e.Profile(t.Context(), p.ICCID)
			require.NoError(t, err)
			require.Equal(t, mno.Released, stored.State)
			_, err = es9.ParseActivationCode(p.Code)
			require.NoError(t, err)
		}
		require.NotEqual(t, made[0].ICCID, made[1].ICCID, "the same twice is two orders")
		require.Equal(t, provisioned{"8944476500001224158", "1$smdp.example$ONE$$1"}, made[2])
		require.Equal(t, "1$smdp.example$", made[3].Code)
		if before != nil {
			require.Equal(t, before, made)
		}
		before = made
	}
}

// What the order book has otherwise is not changed by a file.
func TestOrdersChangeNothing(t *testing.T) {
	t.Parallel()
	store := new(smdp.Memory)
	e, err := smdp.New(smdp.Config{Address: "smdp.example", Store: store})
	require.NoError(t, err)
	require.NoError(t, e.Stock(t.Context(), "somebody", "iot", "8944476500001224158"))
	provide := func(members string) error {
		list, err := parseOrders([]byte(`[{"eid":"` + testEID + `",` + members + `}]`))
		require.NoError(t, err)
		_, err = provision(t.Context(), e, "smdp.example", list)
		return err
	}
	require.ErrorContains(t, provide(`"profileType":"iot","iccid":"8944476500001224158"`), "line 1, order 1: iccid")
	require.NoError(t, provide(`"profileType":"iot","iccid":"89000000000000001010","matchingId":"A"`))
	require.ErrorContains(t, provide(`"profileType":"sim","iccid":"89000000000000001010"`), "profileType")
	require.ErrorContains(t, provide(`"profileType":"iot","iccid":"89000000000000001010","matchingId":"B"`), "matchingId")
}

// TestOrdersOfAFile: an eUICC downloads what the file has for it.
func TestOrdersOfAFile(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	first := start(t, data)
	card, chip := first.euicc()
	require.Zero(t, first.stop())
	path := filepath.Join(t.TempDir(), "orders.json")
	require.NoError(t, os.WriteFile(path, []byte(`[{"eid":"`+card.EID.String()+`","profileType":"iot","confirmationCode":"1234"}]`), 0o600))
	r := start(t, data, "-orders", path)
	require.Len(t, r.Orders, 1)
	code, err := es9.ParseActivationCode(r.Orders[0].Code)
	require.NoError(t, err)
	require.True(t, code.ConfirmationCode)
	res, err := r.lpa(chip).Download(t.Context(), code, func(es9.Metadata) (string, error) { return "1234", nil })
	require.NoError(t, err)
	require.Equal(t, r.Orders[0].ICCID, res.Metadata.ICCID)
}

func FuzzParseOrders(f *testing.F) {
	f.Add([]byte(`[{"eid":"` + testEID + `","profileType":"iot","matchingId":"","iccid":"8944476500001224158"}]`))
	f.Add([]byte(`[{},`))
	f.Add([]byte("[\n\n7]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := parseOrders(text)
		if err != nil {
			require.Contains(t, err.Error(), "line ")
		}
		for _, o := range list {
			require.Equal(t, o.EID, o.device.String())
		}
	})
}
