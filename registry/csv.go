package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/iotregistry/sdk/registry/eid"
)

// Row is one device of an owner's list.
type Row struct {
	Line      int // in the file, whose first line is 1
	ID        eid.ID
	Model     string
	Version   string
	PublicKey string // of the eUICC, as profile.ParsePublicKey reads it; may be empty
	MNO       string // operator account; may be empty
}

// RowError says what is wrong with one row and where.
type RowError struct {
	Line   int
	Column string // as ReadCSV names it; empty when the row as a whole is wrong
	Err    error
}

// Error names the line, the column and the cause.
func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d, %s: %v", e.Line, e.Column, e.Err)
}

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// Why a list or a row of it cannot be read.
var (
	ErrHeader    = errors.New("the first line must name the columns Device ID,Model,Version and optionally Public Key,MNO")
	ErrFields    = errors.New("wrong number of cells")
	ErrCell      = errors.New("row is too long: shorten its longest cell")
	ErrQuote     = errors.New("quotation marks do not match: a cell that contains one begins and ends with one and has those inside doubled")
	ErrText      = errors.New("cell is not plain text on one line: save the list as CSV in UTF-8")
	ErrDuplicate = errors.New("device is in the list twice")
	ErrTooLarge  = errors.New("list has too much in it: check it, then split it")
)

// maxRecord is how long a row may be, in bytes; the longest key has about 2,300.
const maxRecord = 64 << 10

// csvLimits bound what is read of a list.
type csvLimits struct {
	bytes int64
	rows  int
	wrong int // rows; a list with more is another kind of file
}

// csvColumns are the columns that ReadCSV knows.
var csvColumns = []struct {
	name     string
	required bool
	lines    bool // may have several lines, as a key in PEM has
	set      func(*Row, string) error
}{
	{name: "Device ID", required: true, set: func(r *Row, s string) (err error) { r.ID, err = eid.Parse(s); return err }},
	{name: "Model", required: true, set: func(r *Row, s string) error { r.Model = s; return nil }},
	{name: "Version", required: true, set: func(r *Row, s string) error { r.Version = s; return nil }},
	{name: "Public Key", lines: true, set: func(r *Row, s string) error { r.PublicKey = s; return nil }},
	{name: "MNO", set: func(r *Row, s string) error { r.MNO = s; return nil }},
}

// ReadCSV reads an owner's list (RFC 4180): comma-separated, the columns
// Device ID, Model and Version, and Public Key and MNO if wanted, in the order
// in which the first line names them, in either case. Other columns and blank
// rows are ignored, blanks around cells too.
//
// Rows that are right come back whatever is wrong with others; each wrong one
// has its error. err is for a list that cannot be read on: its reader fails
// (rows and errors so far come back), it has no header (ErrHeader) or too much
// of something (ErrTooLarge: 1 GiB, 10 million rows, 100,000 wrong ones).
// Memory is bounded by the rows that come back: a row of more than 64 kB is
// skipped, not kept.
func ReadCSV(r io.Reader) (rows []Row, bad []*RowError, err error) {
	rows, bad, err = readCSV(r, csvLimits{bytes: 1 << 30, rows: 10_000_000, wrong: 100_000})
	if err != nil {
		return rows, bad, fmt.Errorf("registry: read list: %w", err)
	}
	return rows, bad, nil
}

func readCSV(r io.Reader, limits csvLimits) (rows []Row, bad []*RowError, err error) {
	t := table{in: newCSVReader(r, limits.bytes), first: make(map[eid.ID]int)}
	if err := t.readHeader(); err != nil {
		return nil, nil, err
	}
	for {
		row, wrong, err := t.next()
		switch {
		case errors.Is(err, io.EOF):
			return rows, bad, nil
		case err != nil:
			return rows, bad, err
		case wrong != nil && len(bad) == limits.wrong:
			return rows, bad, fmt.Errorf("%w: more than %d wrong rows", ErrTooLarge, limits.wrong)
		case wrong != nil:
			bad = append(bad, wrong)
		case len(rows) == limits.rows:
			return rows, bad, fmt.Errorf("%w: more than %d rows", ErrTooLarge, limits.rows)
		default:
			rows = append(rows, row)
		}
	}
}

// table turns records into rows.
type table struct {
	in      *csvReader
	columns []int          // for each column of the file its place in csvColumns, or -1
	last    []string       // cells of the row before, by column of the file
	first   map[eid.ID]int // line of each device
}

// record returns the next record that is not blank, and its line.
func (t *table) record() (line int, cells [][]byte, wrong, err error) {
	for {
		line = t.in.line
		cells, wrong, err = t.in.record()
		if err != nil || wrong != nil || slices.ContainsFunc(cells, notBlank) {
			return line, cells, wrong, err
		}
	}
}

func notBlank(cell []byte) bool { return len(bytes.TrimSpace(cell)) > 0 }

func (t *table) readHeader() error {
	_, cells, wrong, err := t.record()
	switch {
	case wrong != nil:
		return fmt.Errorf("%w: %w", ErrHeader, wrong)
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	seen := make([]bool, len(csvColumns))
	for _, cell := range cells {
		place := -1
		for i, c := range csvColumns {
			if !strings.EqualFold(string(bytes.TrimSpace(cell)), c.name) {
				continue
			}
			if seen[i] {
				return fmt.Errorf("%w: %q stands there twice", ErrHeader, c.name)
			}
			place, seen[i] = i, true
		}
		t.columns = append(t.columns, place)
	}
	for i, c := range csvColumns {
		switch {
		case !c.required || seen[i]:
		case len(cells) == 1 && bytes.ContainsAny(cells[0], ";\t"):
			return fmt.Errorf("%w, separated by commas", ErrHeader)
		default:
			return fmt.Errorf("%w: there is no %q", ErrHeader, c.name)
		}
	}
	t.last = make([]string, len(t.columns))
	return nil
}

func (t *table) next() (Row, *RowError, error) {
	line, cells, wrong, err := t.record()
	row := Row{Line: line}
	switch {
	case err != nil:
		return row, nil, err
	case wrong != nil:
		return row, &RowError{Line: line, Err: wrong}, nil
	case len(cells) != len(t.columns):
		return row, &RowError{Line: line, Err: fmt.Errorf("%w: %d, and the header has %d; put quotation marks around a cell with a comma in it",
			ErrFields, len(cells), len(t.columns))}, nil
	}
	for i, cell := range cells {
		if t.columns[i] < 0 {
			continue
		}
		c := csvColumns[t.columns[i]]
		cell = bytes.TrimSpace(cell)
		err := checkText(cell, c.lines)
		if err == nil {
			err = c.set(&row, t.text(i, cell))
		}
		if err != nil {
			return row, &RowError{Line: line, Column: c.name, Err: err}, nil
		}
	}
	if at, ok := t.first[row.ID]; ok {
		return row, &RowError{Line: line, Column: csvColumns[0].name, Err: fmt.Errorf("%w: it stands in line %d already", ErrDuplicate, at)}, nil
	}
	t.first[row.ID] = line
	return row, nil, nil
}

// text returns a cell as a string, the one of the row before if it is the same:
// a fleet has few models.
func (t *table) text(column int, cell []byte) string {
	if t.last[column] != string(cell) {
		t.last[column] = string(cell)
	}
	return t.last[column]
}

func checkText(cell []byte, lines bool) error {
	control := func(r rune) bool { return unicode.IsControl(r) && !(lines && (r == '\r' || r == '\n')) }
	if !utf8.Valid(cell) || bytes.ContainsFunc(cell, control) {
		return ErrText
	}
	return nil
}
