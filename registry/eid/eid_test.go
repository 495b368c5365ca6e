package eid_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry/eid"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		kind eid.Kind
		text string
	}{
		{"89049032123451234512345678901235", eid.EID, "89049032123451234512345678901235"},
		{" 89049032123451234512345678901235\t", eid.EID, "89049032123451234512345678901235"},
		{"1000000000000001", eid.Decimal, "1000000000000001"},
		{"302220601105021", eid.Decimal, "302220601105021"},
		{"0007", eid.Decimal, "0007"},
		{"8912230200031060003F", eid.ICCID, "8912230200031060003"},
		{"8912230200031060003f", eid.ICCID, "8912230200031060003"},
		{"8944476500001224158", eid.ICCID, "8944476500001224158"},
		{"89000123456789012341", eid.ICCID, "89000123456789012341"},
		{"89000000000000001010", eid.ICCID, "89000000000000001010"},
	} {
		id, err := eid.Parse(c.in)
		require.NoError(t, err, c.in)
		require.Equal(t, c.kind, id.Kind(), c.in)
		require.Equal(t, c.text, id.String(), c.in)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]error{
		"":                                  eid.ErrEmpty,
		" \t":                               eid.ErrEmpty,
		"1E+15":                             eid.ErrSpreadsheet,
		"1.0e15":                            eid.ErrSpreadsheet,
		"8,90490E+31":                       eid.ErrSpreadsheet,
		"1000000000000001.0":                eid.ErrSpreadsheet,
		"1,000,000,000,000,001":             eid.ErrSpreadsheet,
		"ABC":                               eid.ErrCharacter,
		"E+15":                              eid.ErrCharacter,
		"10 00":                             eid.ErrCharacter,
		"-5":                                eid.ErrCharacter,
		"١٢٣":                               eid.ErrCharacter,
		"302220601105021F":                  eid.ErrCharacter,
		"89049032123451234512345678901236":  eid.ErrCheck,
		"8904903212345123451234567890123":   eid.ErrLength,
		"890490321234512345123456789012355": eid.ErrLength,
		"8912230200031060004F":              eid.ErrCheck,
		"123456789012345678901":             eid.ErrLength,
		"89049032123451200000000000000000":  eid.ErrSpreadsheet,
		"8912230200031060000":               eid.ErrSpreadsheet,
	} {
		id, err := eid.Parse(in)
		require.ErrorIs(t, err, want, in)
		require.True(t, id.IsZero(), in)
	}
}

func TestMistypedEID(t *testing.T) {
	t.Parallel()
	_, err := eid.Parse("8904903212345123451234567890123")
	require.ErrorContains(t, err, "this has 31 and looks like a mistyped EID")
}

func TestErrorsAreShort(t *testing.T) {
	t.Parallel()
	_, err := eid.Parse(strings.Repeat("x", 1<<20))
	require.ErrorIs(t, err, eid.ErrCharacter)
	require.Less(t, len(err.Error()), 300)
}

func TestNew(t *testing.T) {
	t.Parallel()
	id, err := eid.New("890490321234512345123456789012")
	require.NoError(t, err)
	require.Equal(t, "89049032123451234512345678901235", id.String())
	for i := range 200 {
		id, err := eid.New(fmt.Sprintf("89049032%022d", i*7919))
		require.NoError(t, err)
		require.Equal(t, id, eid.MustParse(id.String()))
	}
	for _, bad := range []string{"", "89", strings.Repeat("x", 30), strings.Repeat("8", 32)} {
		_, err := eid.New(bad)
		require.ErrorIs(t, err, eid.ErrLength)
	}
	require.Panics(t, func() { eid.MustParse("x") })
}

// Each 30 digits have one pair of check digits, although the remainder of the
// whole by 97 is 1 for two pairs of some.
func TestCheckDigitsAreUnique(t *testing.T) {
	t.Parallel()
	pairs := map[string]bool{}
	for i := range 97 {
		first := fmt.Sprintf("89049032%022d", i)
		made, err := eid.New(first)
		require.NoError(t, err)
		pairs[made.String()[30:]] = true
		for check := range 100 {
			text := fmt.Sprintf("%s%02d", first, check)
			_, err := eid.Parse(text)
			require.Equal(t, text == made.String(), err == nil, text)
		}
		n, ok := new(big.Int).SetString(made.String(), 10)
		require.True(t, ok)
		require.Equal(t, int64(1), n.Mod(n, big.NewInt(97)).Int64(), "SGP.29's own rule")
	}
	require.Len(t, pairs, 97)
	require.True(t, pairs["02"] && pairs["98"])
}

func TestText(t *testing.T) {
	t.Parallel()
	type row struct {
		ID  eid.ID            `json:"id"`
		Map map[eid.ID]string `json:"map"`
	}
	in := row{eid.MustParse("0007"), map[eid.ID]string{eid.MustParse("1"): "one"}}
	b, err := json.Marshal(in)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"0007","map":{"1":"one"}}`, string(b))
	var out row
	require.NoError(t, json.Unmarshal(b, &out))
	require.Equal(t, in, out)
	require.Error(t, json.Unmarshal([]byte(`{"id":"x"}`), &out))
	require.Equal(t, eid.MustParse("0007"), out.ID, "a refused text changes nothing")
	require.NoError(t, json.Unmarshal([]byte(`{"id":""}`), &out))
	require.True(t, out.ID.IsZero())
}

func TestCompareAndKinds(t *testing.T) {
	t.Parallel()
	require.Negative(t, eid.MustParse("1").Compare(eid.MustParse("2")))
	require.Zero(t, eid.MustParse("1").Compare(eid.MustParse("1")))
	require.Equal(t, "none decimal ICCID EID kind 9",
		fmt.Sprint(eid.None, " ", eid.Decimal, " ", eid.ICCID, " ", eid.EID, " ", eid.Kind(9)))
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"89049032123451234512345678901235", "8912230200031060003F", "0007", "1E+15", "", "٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := eid.Parse(s)
		if err != nil {
			require.True(t, id.IsZero())
			return
		}
		again, err := eid.Parse(id.String())
		require.NoError(t, err)
		require.Equal(t, id, again)
		require.LessOrEqual(t, len(id.String()), 63, "a device ID is one DNS label")
	})
}

func ExampleParse() {
	id, err := eid.Parse("8912230200031060003F")
	fmt.Println(id, id.Kind(), err)
	_, err = eid.Parse("1E+15")
	fmt.Println(err)
	// Output:
	// 8912230200031060003 ICCID <nil>
	// eid: "1E+15": a spreadsheet has rounded this number: format the column as text and export it again
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := eid.Parse("89049032123451234512345678901235"); err != nil {
			b.Fatal(err)
		}
	}
}
