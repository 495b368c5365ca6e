package bertlv_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, tag, value string }{
		{"5A 01 07", "5A", "07"},
		{"BF20 00", "BF20", ""},
		{"5F37 02 0102", "5F37", "0102"},
		{"BFFF01 00", "BFFF01", ""},
		{"1FFFFF01 00", "1FFFFF01", ""},
		{"04 81 01 07", "04", "07"},       // longer than need be, still BER
		{"04 84 00000001 07", "04", "07"}, //
		{"30 05 80 01 01 81 00", "30", "8001018100"},
		{"BF2E 03 80 01 FF", "BF2E", "8001FF"},
	} {
		got, err := bertlv.Parse(unhex(t, c.in))
		require.NoError(t, err, c.in)
		require.Equal(t, c.tag, got.Tag.String())
		require.Equal(t, unhex(t, c.value), append([]byte{}, got.Value...))
		require.Equal(t, unhex(t, c.in), got.Raw, "kept as received")
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	var nested []byte
	for range bertlv.MaxDepth + 1 {
		nested = bertlv.Append(nil, 0x30, nested)
	}
	deep := hex.EncodeToString(nested)
	for _, c := range []struct {
		in   string
		want error
	}{
		{"", bertlv.ErrTruncated}, {"5A", bertlv.ErrTruncated}, {"5A 02 01", bertlv.ErrTruncated}, {"BF", bertlv.ErrTruncated},
		{"BFA0", bertlv.ErrTruncated}, {"04 82 01", bertlv.ErrTruncated}, {"04 84 7FFFFFFF 00", bertlv.ErrTruncated},
		{"00 00", bertlv.ErrTag}, {"BF80 01 00", bertlv.ErrTag}, {"BFFFFFFF01 00", bertlv.ErrTag},
		{"30 80 00 00", bertlv.ErrLength}, {"04 85 0000000001 07", bertlv.ErrLength}, {"04 84 FFFFFFFF", bertlv.ErrLength},
		{"04 FF", bertlv.ErrLength},
		{"5A 00 00", bertlv.ErrTrailing},
		{"30 02 5A 01", bertlv.ErrTruncated}, {"30 03 A0 01 00", bertlv.ErrTag},
		{deep, bertlv.ErrDepth},
		{hex.EncodeToString(bertlv.Append(nil, 0x30, bytes.Repeat([]byte{4, 0}, bertlv.MaxItems))), bertlv.ErrItems},
	} {
		_, err := bertlv.Parse(unhex(t, c.in))
		require.ErrorIs(t, err, c.want, "%.40s", c.in)
		require.True(t, strings.HasPrefix(err.Error(), "bertlv: "), "%v", err)
	}
}

func TestChildrenAndFind(t *testing.T) {
	t.Parallel()
	v, err := bertlv.Parse(unhex(t, "BF38 0E A0 0C 30 07 80 01 AA 83 02 BBCC 5F37 00"))
	require.NoError(t, err)
	members, err := v.Find(0xA0)
	require.NoError(t, err)
	list, err := members.Children()
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, bertlv.Tag(0x5F37), list[1].Tag)
	address, err := v.Find(0xA0, 0x30, 0x83)
	require.NoError(t, err)
	require.Equal(t, []byte{0xBB, 0xCC}, address.Value)
	same, err := v.Find()
	require.NoError(t, err)
	require.Equal(t, v, same)
	_, err = v.Find(0xA0, 0x31)
	require.ErrorIs(t, err, bertlv.ErrMissing)
	_, err = v.Find(0xA0, 0x30, 0x80, 0x80)
	require.ErrorIs(t, err, bertlv.ErrPrimitive)
	_, err = address.Children()
	require.ErrorIs(t, err, bertlv.ErrPrimitive)
	broken := bertlv.TLV{Tag: 0x30, Value: []byte{4}}
	_, err = broken.Children()
	require.ErrorIs(t, err, bertlv.ErrTruncated)
	_, err = broken.Find(4)
	require.ErrorIs(t, err, bertlv.ErrTruncated)
	many := bertlv.TLV{Tag: 0x30, Value: bytes.Repeat([]byte{4, 0}, bertlv.MaxItems+1)}
	_, err = many.Children()
	require.ErrorIs(t, err, bertlv.ErrItems)
}

func TestAppendUsesTheShortestLength(t *testing.T) {
	t.Parallel()
	for n, header := range map[int]string{0: "BF2000", 0x7F: "BF207F", 0x80: "BF208180", 0xFF: "BF2081FF",
		0x100: "BF20820100", 0xFFFF: "BF2082FFFF", 0x10000: "BF2083010000"} {
		b := bertlv.Append(nil, 0xBF20, make([]byte, n/2), make([]byte, n-n/2))
		require.Equal(t, unhex(t, header), b[:len(b)-n])
		require.Equal(t, unhex(t, header), bertlv.AppendHeader(nil, 0xBF20, n))
	}
	require.Equal(t, unhex(t, "FF 5A 00"), bertlv.Append([]byte{0xFF}, 0x5A))
}

func TestTagConstructed(t *testing.T) {
	t.Parallel()
	for tag, want := range map[bertlv.Tag]bool{0x30: true, 0xA0: true, 0xBF20: true, 0x80: false, 0x5F37: false, 0x04: false, 0x9F20: false, 0xBFFF01: true} {
		require.Equal(t, want, tag.Constructed(), "%v", tag)
	}
}

// The published test profile packages of GSMA TS.48 are read whole, element by
// element.
func TestRealProfilePackages(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "data", "ts48", "*.der"))
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skip("no TS.48 profile packages here")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		for len(b) > 0 {
			element, rest, err := bertlv.Read(b)
			require.NoError(t, err, name)
			_, err = bertlv.Parse(element.Raw)
			require.NoError(t, err, name)
			require.Equal(t, element.Raw, bertlv.Append(nil, element.Tag, element.Value), "DER in, DER out")
			b = rest
		}
	}
}

// What parses is written again as it was, length forms apart, at every level.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"5A0107", "BF2000", "30058001018100", "04810107", "BF380EA00C30078001AA8302BBCC5F3700", "3080", "BFFFFF01", ""} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := bertlv.Parse(b)
		if err != nil {
			return
		}
		require.Equal(t, b, append([]byte{}, v.Raw...))
		again, err := bertlv.Parse(rewrite(t, v))
		require.NoError(t, err)
		require.LessOrEqual(t, len(again.Raw), len(v.Raw))
		if len(again.Raw) == len(v.Raw) {
			require.Equal(t, v.Raw, again.Raw, "DER in, DER out")
		}
		require.Equal(t, again.Raw, rewrite(t, again))
	})
}

func rewrite(t *testing.T, v bertlv.TLV) []byte {
	if !v.Tag.Constructed() {
		return bertlv.Append(nil, v.Tag, v.Value)
	}
	list, err := v.Children()
	require.NoError(t, err)
	parts := make([][]byte, len(list))
	for i, c := range list {
		parts[i] = rewrite(t, c)
	}
	return bertlv.Append(nil, v.Tag, parts...)
}

func ExampleParse() {
	challenge := []byte{1, 2, 3, 4}
	b := bertlv.Append(nil, 0xBF2E, bertlv.Append(nil, 0x80, challenge))
	v, err := bertlv.Parse(b)
	if err != nil {
		fmt.Println(err)
		return
	}
	inner, err := v.Find(0x80)
	fmt.Printf("%v %X %v\n", v.Tag, inner.Value, err)
	// Output: BF2E 01020304 <nil>
}
