package csvfile_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/csvfile"
)

var errHeader = errors.New("name the columns ID and perhaps Note")

type row struct {
	line     int
	id, note string
}

func format(limits csvfile.Limits) csvfile.Format[row] {
	return csvfile.Format[row]{
		Columns: []csvfile.Column[row]{
			{Name: "ID", Required: true, Set: func(r *row, s string) error {
				if r.id = s; s == "bad" {
					return io.ErrNoProgress
				}
				return nil
			}},
			{Name: "Note", Lines: true, Set: func(r *row, s string) error { r.note = s; return nil }},
		},
		ErrHeader: errHeader,
		New:       func(line int) row { return row{line: line} },
		Key:       func(r *row) string { return r.id },
		Limits:    limits,
	}
}

// Registry's tests try the grammar; here is what else a Format decides.
func TestRead(t *testing.T) {
	t.Parallel()
	wide := csvfile.Limits{Bytes: 1 << 20, Rows: 10, Wrong: 10}
	for name, c := range map[string]struct {
		in     string
		limits csvfile.Limits
		rows   []row
		bad    []csvfile.Wrong[row]
		err    error
	}{
		"an optional column may be absent": {"id\n1\n", wide, []row{{2, "1", ""}}, nil, nil},
		"lines where they may be":          {"note,id\n\"a\nb\",1\n", wide, []row{{2, "1", "a\nb"}}, nil, nil},
		"what was read comes with the error": {"note,id\nn,bad\nn,1\n", wide, []row{{3, "1", "n"}},
			[]csvfile.Wrong[row]{{Row: row{2, "bad", "n"}, Line: 2, Column: "ID", Err: io.ErrNoProgress}}, nil},
		"header":  {"note\nn\n", wide, nil, nil, errHeader},
		"bytes":   {"id\n1\n2\n", csvfile.Limits{Bytes: 5, Rows: 9, Wrong: 9}, []row{{2, "1", ""}}, nil, csvfile.ErrTooLarge},
		"rows":    {"id\n1\n2\n", csvfile.Limits{Bytes: 99, Rows: 1, Wrong: 9}, []row{{2, "1", ""}}, nil, csvfile.ErrTooLarge},
		"wrong":   {"id\n1\nbad\n", csvfile.Limits{Bytes: 99, Rows: 9}, []row{{2, "1", ""}}, nil, csvfile.ErrTooLarge},
		"nothing": {"id\n", csvfile.Limits{}, nil, nil, csvfile.ErrTooLarge},
	} {
		rows, bad, err := format(c.limits).Read(iotest.OneByteReader(strings.NewReader(c.in)))
		require.ErrorIs(t, err, c.err, name)
		require.Equal(t, c.rows, rows, name)
		require.Equal(t, c.bad, bad, name)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("id,note\n1,\"a\nb\"\r\nbad,\n\"2\",\"\"\"\"\n1,x\n")
	f.Add("\uFEFFNote,ID\n\"never closed,1\nx,2")
	f.Fuzz(func(t *testing.T, in string) {
		rows, bad, err := format(csvfile.Limits{Bytes: 1 << 20, Rows: 1000, Wrong: 1000}).Read(strings.NewReader(in))
		if err != nil {
			require.True(t, errors.Is(err, errHeader) || errors.Is(err, csvfile.ErrTooLarge), "%v", err)
		}
		lines, ids := map[int]bool{}, map[string]bool{}
		for _, r := range rows {
			require.False(t, lines[r.line] || ids[r.id], "one result a line, one row a device")
			lines[r.line], ids[r.id] = true, true
		}
		for _, b := range bad {
			require.Error(t, b.Err)
			require.False(t, lines[b.Line], "one result a line")
			lines[b.Line] = true
		}
	})
}
