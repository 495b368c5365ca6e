package registry_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

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
		"blank rows":     {"\n\n" + header + ",,\n1,M,2\n , ,\t\n", []registry.Row{row(5, "1", "M", "2")}},
		"blanks":         {header + " 1\t, M N , 2 \n\"2\" ,N,3\n", []registry.Row{row(2, "1", "M N", "2"), row(3, "2", "N", "3")}},
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
		"10 MB of quotes": {"5,\"" + strings.Repeat(`""`, 5<<20) + "\",1", "", registry.ErrCell},
		"10 MB and text":  {"5,\"" + strings.Repeat("x", 10<<20) + "\"x,1", "", registry.ErrCell},
		"inches":          {`5,M 12",1`, "", registry.ErrQuote},
		"blank and quote": {`5, "M, N",1`, "", registry.ErrQuote},
		"never closed":    {`5,"M,1`, "", registry.ErrQuote},
		"escape code":     {"5,\x1b[2J,1", "Model", registry.ErrText},
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
}

// A quotation mark that is never closed costs its own row, not those after it,
// whether or not they have some of their own.
func TestReadCSVUnclosedQuote(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"", "\"4\",\"M, N\",1\n", strings.Repeat("\n", 100_000)} {
		in := header + "1,M,1\n2,\"never closed,1\n3,M,1\n" + after
		rows, bad, err := registry.ReadCSV(strings.NewReader(in))
		require.NoError(t, err)
		require.Len(t, bad, 1)
		require.ErrorIs(t, bad[0], registry.ErrQuote)
		require.Equal(t, 3, bad[0].Line)
		require.Len(t, rows, 2+strings.Count(after, "M"))
		require.Equal(t, 4, rows[1].Line)
	}
	rows, bad, err := registry.ReadCSV(strings.NewReader(header + "1,M,1\n2,\"at the end"))
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.ErrorIs(t, bad[0], registry.ErrQuote)
}

func TestReadCSVErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	_, bad, err := registry.ReadCSV(strings.NewReader(header + "7,M,1\n7,N,1\n8,Meter, big,1\n" + strings.Repeat("x", 1000) + ",M,1\n"))
	require.NoError(t, err)
	require.Len(t, bad, 3)
	require.EqualError(t, bad[0], "line 3, Device ID: device is in the list twice: it stands in line 2 already")
	require.EqualError(t, bad[1], "line 4: wrong number of cells: 4, and the header has 3; put quotation marks around a cell with a comma in it")
	require.Contains(t, bad[2].Error(), `"`+strings.Repeat("x", 40)+`..."`)
	_, _, err = registry.ReadCSV(strings.NewReader("Device ID;Model;Version\n1;M;1\n"))
	require.ErrorContains(t, err, "separated by commas")
	_, _, err = registry.ReadCSV(strings.NewReader("Device ID,Model\n"))
	require.ErrorContains(t, err, `there is no "Version"`)
}

func TestReadCSVRefuses(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"empty":         "",
		"blank":         "\n\n",
		"no header":     "1,M,1\n",
		"half a header": "Device ID,Model\n1,M\n",
		"twice":         "Device ID,Model,Version,model\n",
		"endless":       strings.Repeat("x", 1<<20),
		"semicolons":    "Device ID;Model;Version\n",
		"broken header": "\"Device ID\"x,Model,Version\n",
	} {
		_, _, err := registry.ReadCSV(strings.NewReader(in))
		require.ErrorIs(t, err, registry.ErrHeader, name)
	}
	boom := errors.New("boom")
	rows, _, err := registry.ReadCSV(io.MultiReader(strings.NewReader(header+"1,M,1\n2,"), iotest.ErrReader(boom)))
	require.ErrorIs(t, err, boom)
	require.Len(t, rows, 1)
	_, _, err = registry.ReadCSV(iotest.ErrReader(boom))
	require.ErrorIs(t, err, boom)
	require.NotErrorIs(t, err, registry.ErrHeader)
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
	f.Add(header + "1,\"M\n2,N,3\n4,\"O\",5\n4,P,6")
	f.Add("\uFEFFDevice ID,Model,Version,Public Key,MNO\n1,M,2,K,telco\n")
	f.Add("\"\n")
	f.Fuzz(func(t *testing.T, in string) {
		rows, bad, err := registry.ReadCSV(strings.NewReader(in))
		if err != nil {
			require.ErrorIs(t, err, registry.ErrHeader)
			return
		}
		lines := map[int]bool{1: true}
		for _, r := range rows {
			require.False(t, r.ID.IsZero())
			require.False(t, lines[r.Line], "one result a line")
			lines[r.Line] = true
		}
		for _, b := range bad {
			require.NotEmpty(t, b.Error())
			require.False(t, lines[b.Line], "one result a line")
			lines[b.Line] = true
		}
		require.LessOrEqual(t, len(lines), strings.Count(in, "\n")+1)
		agree(t, in, rows)
	})
}

// agree holds rows against what package encoding/csv finds in a file that it
// has no complaints about.
func agree(t *testing.T, in string, rows []registry.Row) {
	in = strings.TrimPrefix(in, "\uFEFF")
	if strings.Contains(in, "\r") || len(in) > 64<<10 || !strings.HasPrefix(in, header) {
		return
	}
	r := csv.NewReader(strings.NewReader(in[len(header):]))
	r.FieldsPerRecord = -1
	records, err := r.ReadAll()
	if err != nil {
		return
	}
	var want [][3]string
	seen := map[eid.ID]bool{}
	for _, cells := range records {
		if id, err := eid.Parse(cells[0]); err == nil && len(cells) == 3 && !seen[id] && plain(cells) {
			seen[id] = true
			want = append(want, [3]string{id.String(), strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])})
		}
	}
	var got [][3]string
	for _, r := range rows {
		got = append(got, [3]string{r.ID.String(), r.Model, r.Version})
	}
	require.Equal(t, want, got)
}

func plain(cells []string) bool {
	for _, c := range cells {
		if !utf8.ValidString(c) || strings.ContainsFunc(strings.TrimSpace(c), unicode.IsControl) {
			return false
		}
	}
	return true
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
