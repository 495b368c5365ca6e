// Package csvfile reads lists of devices in CSV (RFC 4180): columns by name in
// any order, bounded in everything, one error for each wrong row. Owners' lists
// and makers' claims are read by it, so that both are equally strict.
//
//	rows, bad, err := csvfile.Format[Row]{Columns: columns, ErrHeader: errHeader, ...}.Read(r)
package csvfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Why a list or a row of it cannot be read.
var (
	ErrFields    = errors.New("wrong number of cells")
	ErrCell      = errors.New("row is too long: shorten its longest cell")
	ErrQuote     = errors.New("quotation marks do not match: a cell that contains one begins and ends with one and has those inside doubled")
	ErrText      = errors.New("cell is not plain text on one line: save the list as CSV in UTF-8")
	ErrDuplicate = errors.New("device is in the list twice")
	ErrTooLarge  = errors.New("list has too much in it: check it, then split it")
)

// maxRecord is how long a row may be, in bytes; the longest key has about 2,300.
const maxRecord = 64 << 10

// Limits bound what is read of a list. Zero allows nothing.
type Limits struct {
	Bytes int64
	Rows  int
	Wrong int // rows; a list with more is another kind of file
}

// Column is a column that a list may have.
type Column[T any] struct {
	Name     string // in either case
	Required bool
	Lines    bool // its cells may have several lines, as a key in PEM has
	Set      func(row *T, cell string) error
}

// Format says what a list looks like. All fields are required.
type Format[T any] struct {
	Columns   []Column[T]              // the first one is the device's
	ErrHeader error                    // what a wrong first line gives: it names the columns
	New       func(line int) T         // an empty row of that line, the file's first being 1
	Key       func(complete *T) string // the device: two rows with the same are one too many
	Limits    Limits
}

// Wrong is a row that is not right.
type Wrong[T any] struct {
	Row    T // what was read of it before the error
	Line   int
	Column string // empty when the row as a whole is wrong
	Err    error
}

// Read returns the rows that are right, and each that is not with its error.
// Other columns and blank rows are ignored, blanks around cells too. err is for
// a list that cannot be read on: what there was so far comes back with it.
func (f Format[T]) Read(r io.Reader) (rows []T, bad []Wrong[T], err error) {
	t := table[T]{Format: f, in: newReader(r, f.Limits.Bytes), first: make(map[string]int)}
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
		case wrong != nil && len(bad) == f.Limits.Wrong:
			return rows, bad, fmt.Errorf("%w: more than %d wrong rows", ErrTooLarge, f.Limits.Wrong)
		case wrong != nil:
			bad = append(bad, *wrong)
		case len(rows) == f.Limits.Rows:
			return rows, bad, fmt.Errorf("%w: more than %d rows", ErrTooLarge, f.Limits.Rows)
		default:
			rows = append(rows, row)
		}
	}
}

// table turns records into rows.
type table[T any] struct {
	Format[T]
	in      *reader
	columns []int          // for each column of the file its place in Columns, or -1
	last    []string       // cells of the row before, by column of the file
	first   map[string]int // line of each device
}

// record returns the next record that is not blank, and its line.
func (t *table[T]) record() (line int, cells [][]byte, wrong, err error) {
	for {
		line = t.in.line
		cells, wrong, err = t.in.record()
		if err != nil || wrong != nil || slices.ContainsFunc(cells, notBlank) {
			return line, cells, wrong, err
		}
	}
}

func notBlank(cell []byte) bool { return len(bytes.TrimSpace(cell)) > 0 }

func (t *table[T]) readHeader() error {
	_, cells, wrong, err := t.record()
	switch {
	case wrong != nil:
		return fmt.Errorf("%w: %w", t.ErrHeader, wrong)
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	seen := make([]bool, len(t.Columns))
	for _, cell := range cells {
		place := -1
		for i, c := range t.Columns {
			if !strings.EqualFold(string(bytes.TrimSpace(cell)), c.Name) {
				continue
			}
			if seen[i] {
				return fmt.Errorf("%w: %q stands there twice", t.ErrHeader, c.Name)
			}
			place, seen[i] = i, true
		}
		t.columns = append(t.columns, place)
	}
	t.last = make([]string, len(t.columns))
	return t.missing(cells, seen)
}

// missing reports a required column that the header has not.
func (t *table[T]) missing(cells [][]byte, seen []bool) error {
	for i, c := range t.Columns {
		switch {
		case !c.Required || seen[i]:
		case len(cells) == 1 && bytes.ContainsAny(cells[0], ";\t"):
			return fmt.Errorf("%w, separated by commas", t.ErrHeader)
		default:
			return fmt.Errorf("%w: there is no %q", t.ErrHeader, c.Name)
		}
	}
	return nil
}

func (t *table[T]) next() (T, *Wrong[T], error) {
	line, cells, wrong, err := t.record()
	row := t.New(line)
	switch {
	case err != nil:
		return row, nil, err
	case wrong != nil:
		return row, &Wrong[T]{Row: row, Line: line, Err: wrong}, nil
	case len(cells) != len(t.columns):
		return row, &Wrong[T]{Row: row, Line: line, Err: fmt.Errorf("%w: %d, and the header has %d; put quotation marks around a cell with a comma in it",
			ErrFields, len(cells), len(t.columns))}, nil
	}
	if column, err := t.fill(&row, cells); err != nil {
		return row, &Wrong[T]{Row: row, Line: line, Column: column, Err: err}, nil
	}
	key := t.Key(&row)
	if at, ok := t.first[key]; ok {
		return row, &Wrong[T]{Row: row, Line: line, Column: t.Columns[0].Name,
			Err: fmt.Errorf("%w: it stands in line %d already", ErrDuplicate, at)}, nil
	}
	t.first[key] = line
	return row, nil, nil
}

// fill sets the row's columns and names the one that is wrong.
func (t *table[T]) fill(row *T, cells [][]byte) (column string, err error) {
	for i, cell := range cells {
		if t.columns[i] < 0 {
			continue
		}
		c := t.Columns[t.columns[i]]
		cell = bytes.TrimSpace(cell)
		if err := checkText(cell, c.Lines); err != nil {
			return c.Name, err
		}
		if err := c.Set(row, t.text(i, cell)); err != nil {
			return c.Name, err
		}
	}
	return "", nil
}

// text returns a cell as a string, the one of the row before if it is the same:
// a fleet has few models.
func (t *table[T]) text(column int, cell []byte) string {
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
