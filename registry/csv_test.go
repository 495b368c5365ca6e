package registry_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

const header = "Device ID,Model,Version\n"

func TestReadCSV(t *testing.T) {
	t.Parallel()
	row := func(line int, id, model, version string) registry.Row {
		return registry.Row{Line: line, ID: eid.MustParse(id), Model: model, Version: version}
	}
	full := row(2, "1", "M", "2")
	full.PublicKey, full.MNO = "KEY\nLINES", "telco"
	for name, c := range map[string]struct {
		in   string
		want []registry.Row
	}{
		"plain":          {header + "1,M,2\n", []registry.Row{row(2, "1", "M", "2")}},
		"no last line":   {header + "1,M,2", []registry.Row{row(2, "1", "M", "2")}},
		"CRLF":           {"Device ID,Model,Version\r\n1,M,2\r\n\"2\",\"N\",\"3\"\r\n", []registry.Row{row(2, "1", "M", "2"), row(3, "2", "N", "3")}},
		"byte order":     {"\uFEFF" + header + "1,M,2\n", []registry.Row{row(2, "1", "M", "2")}},
		"quotes":         {header + "1,\"Meter, \"\"big\"\"\",2\n", []registry.Row{row(2, "1", `Meter, "big"`, "2")}},
		"leading zeros":  {header + "0007,M,1\n", []registry.Row{row(2, "0007", "M", "1")}},
		"blank lines":    {header + "\n1,M,2\n\r\n\n2,M,2\n\n", []registry.Row{row(3, "1", "M", "2"), row(6, "2", "M", "2")}},
		"order and case": {"VERSION, model ,device id\n2,M,1\n", []registry.Row{row(2, "1", "M", "2")}},
		"other columns":  {"Device ID,Colour,Model,Version\n1,red,M,2\n", []registry.Row{row(2, "1", "M", "2")}},
		"all columns":    {"Device ID,Model,Version,Public Key,MNO\n1,M,2,\"KEY\nLINES\",telco\n", []registry.Row{full}},
		"header only":    {header, nil},
		"formula":        {header + "1,=1+1,2\n", []registry.Row{row(2, "1", "=1+1", "2")}},
		"empty cells":    {header + "1,,\n", []registry.Row{row(2, "1", "", "")}},
		"an ICCID":       {header + "8912230200031060003F,M,1\n", []registry.Row{row(2, "8912230200031060003", "M", "1")}},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
			rows, bad, err := registry.ReadCSV(r)
			require.NoError(t, err, name)
			require.Empty(t, bad, name)
			require.Equal(t, c.want, rows, name)
		}
	}
}

// Every wrong row has its line and its reason, and the good ones around it
// still come back.
func TestReadCSVRows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		row    string
		column string
		want   error
	}{
		"rounded":         {"1E+15,M,1", "Device ID", eid.ErrSpreadsheet},
		"letters":         {"METER,M,1", "Device ID", eid.ErrCharacter},
		"no ID":           {",M,1", "Device ID", eid.ErrEmpty},
		"wrong check":     {"89049032123451234512345678901236,M,1", "Device ID", eid.ErrCheck},
		"duplicate":       {"1,M,1", "Device ID", registry.ErrDuplicate},
		"too few":         {"5,M", "", registry.ErrFields},
		"too many":        {"5,M,1,x", "", registry.ErrFields},
		"far too many":    {"5" + strings.Repeat(",x", 5000), "", registry.ErrFields},
		"10 MB cell":      {"5," + strings.Repeat("x", 10<<20) + ",1", "", registry.ErrCell},
		"10 MB quoted":    {"5,\"" + strings.Repeat("x", 10<<20) + "\",1", "", registry.ErrCell},
		"after the quote": {`5,"M"x,1`, "", registry.ErrQuote},
		"two lines":       {"5,\"M\nN\",1", "Model", registry.ErrText},
		"no UTF-8":        {"5,\xff\xfe,1", "Model", registry.ErrText},
		"NUL":             {"5,M,\x00", "Version", registry.ErrText},
	} {
		rows, bad, err := registry.ReadCSV(strings.NewReader(header + "1,M,1\n" + c.row + "\n2,M,1\n"))
		require.NoError(t, err, name)
		require.Len(t, rows, 2, name)
		require.Len(t, bad, 1, name)
		require.Equal(t, 3, bad[0].Line, name)
		require.Equal(t, c.column, bad[0].Column, name)
		require.ErrorIs(t, bad[0], c.want, name)
		require.Contains(t, bad[0].Error(), "line 3", name)
		require.Less(t, len(bad[0].Error()), 300, name)
	}
	_, bad, err := registry.ReadCSV(strings.NewReader(header + "1,M,1\n2,\"never closed\n3,M,1\n"))
	require.NoError(t, err)
	require.Len(t, bad, 1)
	require.ErrorIs(t, bad[0], registry.ErrQuote)
	require.Equal(t, 3, bad[0].Line)
}

func TestReadCSVRefuses(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"empty":         "",
		"blank":         "\n\n",
		"no header":     "1,M,1\n",
		"half a header": "Device ID,Model\n1,M\n",
		"twice":         "Device ID,Model,Version,model\n",
		"broken header": "\"Device ID\"x,Model,Version\n",
	} {
		_, _, err := registry.ReadCSV(strings.NewReader(in))
		require.ErrorIs(t, err, registry.ErrHeader, name)
	}
	boom := errors.New("boom")
	rows, _, err := registry.ReadCSV(io.MultiReader(strings.NewReader(header+"1,M,1\n2,"), iotest.ErrReader(boom)))
	require.ErrorIs(t, err, boom)
	require.Len(t, rows, 1)
}

func TestDeckList(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/ottawa.csv")
	require.NoError(t, err)
	defer f.Close()
	rows, bad, err := registry.ReadCSV(f)
	require.NoError(t, err)
	require.Empty(t, bad)
	require.Len(t, rows, 5)
	require.Equal(t, "1000000000000005", rows[4].ID.String())
}

func FuzzReadCSV(f *testing.F) {
	f.Add(header + "1,M,2\r\n\"2\",\"a \"\"b\"\"\",3\n1E+15,,\n")
	f.Add("\uFEFFDevice ID,Model,Version,Public Key,MNO\n1,M,2,K,telco\n")
	f.Add("\"\n")
	f.Fuzz(func(t *testing.T, in string) {
		rows, bad, err := registry.ReadCSV(strings.NewReader(in))
		if err != nil {
			require.ErrorIs(t, err, registry.ErrHeader)
			return
		}
		require.LessOrEqual(t, len(rows)+len(bad), strings.Count(in, "\n")+1)
		last := 1
		for _, r := range rows {
			require.False(t, r.ID.IsZero())
			require.Greater(t, r.Line, last)
			last = r.Line
		}
		for _, b := range bad {
			require.Error(t, b.Err)
			require.NotEmpty(t, b.Error())
		}
	})
}

func ExampleReadCSV() {
	rows, bad, err := registry.ReadCSV(strings.NewReader(
		"Device ID,Model,Version\n1000000000000001,Parking Meter,1.0\n1E+15,Parking Meter,1.0\n"))
	for _, row := range rows {
		fmt.Println(row.ID, row.Model)
	}
	for _, e := range bad {
		fmt.Println(e)
	}
	fmt.Println(err)
	// Output:
	// 1000000000000001 Parking Meter
	// line 3, Device ID: eid: "1E+15": a spreadsheet has rounded this number: format the column as text and export it again
	// <nil>
}

func BenchmarkReadCSV(b *testing.B) {
	var in strings.Builder
	in.WriteString(header)
	for i := range 1000 {
		fmt.Fprintf(&in, "%d,Parking Meter,1.0\n", 1000000000000001+i)
	}
	b.SetBytes(int64(in.Len()))
	for b.Loop() {
		if rows, _, err := registry.ReadCSV(strings.NewReader(in.String())); err != nil || len(rows) != 1000 {
			b.Fatal(err)
		}
	}
}
