package registry

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/iotregistry/sdk/registry/eid"
)

// Row is one device of an owner's list.
type Row struct {
	Line      int // in the file, the header being line 1
	ID        eid.ID
	Model     string
	Version   string
	PublicKey string // of the eUICC, as profile.ParsePublicKey reads it; may be empty
	MNO       string // operator account; may be empty
}

// RowError says what is wrong with one row and where.
type RowError struct {
	Line   int
	Column string // header text; empty when the row as a whole is wrong
	Err    error
}

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
	ErrFields    = errors.New("wrong number of fields")
	ErrCell      = errors.New("cell is too long")
	ErrQuote     = errors.New("a quoted cell does not end, or text follows its closing quote")
	ErrText      = errors.New("cell is not UTF-8 text on one line")
	ErrDuplicate = errors.New("device is in the list twice")
	ErrTooLarge  = errors.New("list is too large: split it")
)

// Limits of ReadCSV.
const (
	maxCell = 64 << 10 // bytes; the longest key has about 2,300
	maxRows = 10_000_000
)

// csvColumns are the columns by the name they have in a header, in lower case.
var csvColumns = []struct {
	name     string
	required bool
	set      func(*Row, string) error
}{
	{"device id", true, func(r *Row, s string) (err error) { r.ID, err = eid.Parse(s); return err }},
	{"model", true, func(r *Row, s string) error { r.Model = s; return nil }},
	{"version", true, func(r *Row, s string) error { r.Version = s; return nil }},
	{"public key", false, func(r *Row, s string) error { r.PublicKey = s; return nil }},
	{"mno", false, func(r *Row, s string) error { r.MNO = s; return nil }},
}

// ReadCSV reads an owner's list (RFC 4180): comma-separated with a header line,
// columns in any order, a byte order mark, CRLF and blank lines allowed. Rows
// that are right come back whatever is wrong with others; each wrong one has
// its error. err is for a list that cannot be read at all. Memory is bounded by
// the good rows: a cell longer than 64 kB is skipped, not kept.
func ReadCSV(r io.Reader) (rows []Row, bad []*RowError, err error) {
	in := newCSVReader(r)
	columns, err := readHeader(in)
	if err != nil {
		return nil, nil, err
	}
	first := map[eid.ID]int{}
	for {
		line := in.line
		cells, err := in.record()
		if errors.Is(err, io.EOF) {
			return rows, bad, nil
		}
		var cell *RowError
		if err != nil && !errors.As(err, &cell) {
			return rows, bad, fmt.Errorf("registry: read list: %w", err)
		}
		if cell == nil && len(cells) == 1 && cells[0] == "" {
			continue // a blank line
		}
		row, rowErr := newRow(line, columns, cells, cell)
		if rowErr == nil {
			if at, dup := first[row.ID]; dup {
				rowErr = &RowError{Line: line, Column: "Device ID", Err: fmt.Errorf("%w: it stands in line %d already", ErrDuplicate, at)}
			}
		}
		if rowErr != nil {
			bad = append(bad, rowErr)
			continue
		}
		first[row.ID] = line
		rows = append(rows, row)
		if len(rows)+len(bad) > maxRows {
			return rows, bad, fmt.Errorf("registry: read list: %w", ErrTooLarge)
		}
	}
}

// readHeader returns for each column of the file its place in csvColumns, -1
// for one that is not ours.
func readHeader(in *csvReader) ([]int, error) {
	cells, err := in.record()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("registry: read list: %w: %w", ErrHeader, err)
	}
	columns, seen := make([]int, len(cells)), make([]bool, len(csvColumns))
	for i, cell := range cells {
		columns[i] = -1
		for j, c := range csvColumns {
			if strings.EqualFold(strings.TrimSpace(cell), c.name) {
				if seen[j] {
					return nil, fmt.Errorf("registry: read list: %w: %q stands twice", ErrHeader, c.name)
				}
				columns[i], seen[j] = j, true
			}
		}
	}
	for j, c := range csvColumns {
		if c.required && !seen[j] {
			return nil, fmt.Errorf("registry: read list: %w: there is no %q", ErrHeader, c.name)
		}
	}
	return columns, nil
}

func newRow(line int, columns []int, cells []string, bad *RowError) (Row, *RowError) {
	row := Row{Line: line}
	if bad != nil {
		return row, &RowError{Line: line, Err: bad.Err}
	}
	if len(cells) != len(columns) {
		return row, &RowError{Line: line, Err: fmt.Errorf("%w: %d, the header has %d", ErrFields, len(cells), len(columns))}
	}
	for i, cell := range cells {
		if columns[i] < 0 {
			continue
		}
		c := csvColumns[columns[i]]
		cell = strings.TrimSpace(cell)
		// A PEM key is the one cell that may have several lines.
		oneLine := c.name == "public key" || !strings.ContainsAny(cell, "\r\n\x00")
		if !utf8.ValidString(cell) || !oneLine {
			return row, &RowError{Line: line, Column: title(c.name), Err: ErrText}
		}
		if err := c.set(&row, cell); err != nil {
			return row, &RowError{Line: line, Column: title(c.name), Err: err}
		}
	}
	return row, nil
}

func title(name string) string {
	switch name {
	case "device id":
		return "Device ID"
	case "mno":
		return "MNO"
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// csvReader reads records of RFC 4180. Package encoding/csv would hold a cell
// of any size in memory and stop at the first wrong quote.
type csvReader struct {
	r    *bufio.Reader
	line int
}

func newCSVReader(r io.Reader) *csvReader {
	b := bufio.NewReaderSize(r, 64<<10)
	if bom, err := b.Peek(3); err == nil && string(bom) == "\uFEFF" {
		_, _ = b.Discard(3)
	}
	return &csvReader{r: b, line: 1}
}

// record returns the cells of the next record. A *RowError says that the record
// is unusable; the next one can still be read.
func (c *csvReader) record() ([]string, error) {
	if _, err := c.r.Peek(1); err != nil {
		return nil, err
	}
	var cells []string
	var bad *RowError
	for {
		cell, last, err := c.cell()
		var cellErr *RowError
		if errors.As(err, &cellErr) {
			bad = cellErr
		} else if err != nil {
			return nil, err
		}
		if len(cells) < 2*len(csvColumns) {
			cells = append(cells, cell)
		} else if bad == nil {
			bad = &RowError{Err: fmt.Errorf("%w: too many", ErrFields)}
		}
		if last {
			break
		}
	}
	if bad != nil {
		return nil, bad
	}
	return cells, nil
}

// cell reads one cell and the comma or line end after it. The end of the file
// ends a cell too.
func (c *csvReader) cell() (text string, last bool, err error) {
	var b strings.Builder
	var quoted, closed, overlong, misquoted bool
	for n := 0; ; n++ {
		ch, err := c.r.ReadByte()
		if err != nil && !errors.Is(err, io.EOF) {
			return "", true, err
		}
		end := err != nil
		switch {
		case end:
			misquoted = misquoted || quoted && !closed
		case ch == '\n':
			c.line++
		}
		inQuotes := quoted && !closed && !end
		switch {
		case end || !inQuotes && ch == '\n':
			text, err := cellResult(&b, overlong, misquoted)
			return strings.TrimSuffix(text, "\r"), true, err
		case !inQuotes && ch == ',':
			text, err := cellResult(&b, overlong, misquoted)
			return text, false, err
		case n == 0 && ch == '"':
			quoted = true
		case inQuotes && ch == '"':
			if next, err := c.r.Peek(1); err == nil && next[0] == '"' {
				_, _ = c.r.ReadByte()
				b.WriteByte('"')
			} else {
				closed = true
			}
		case closed && ch != '\r':
			misquoted = true
		case b.Len() >= maxCell:
			overlong = true
		default:
			b.WriteByte(ch)
		}
	}
}

func cellResult(b *strings.Builder, overlong, misquoted bool) (string, error) {
	switch {
	case overlong:
		return "", &RowError{Err: fmt.Errorf("%w: more than %d bytes", ErrCell, maxCell)}
	case misquoted:
		return "", &RowError{Err: ErrQuote}
	}
	return b.String(), nil
}
