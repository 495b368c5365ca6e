package registry

import (
	"errors"
	"fmt"
	"io"

	"github.com/iotregistry/sdk/internal/csvfile"
	"github.com/iotregistry/sdk/registry/eid"
)

// Row is one device of an owner's list or of a request.
type Row struct {
	Line      int      `json:"line,omitempty"` // in the file, whose first line is 1
	ID        eid.ID   `json:"device"`
	Model     string   `json:"model,omitempty"` // at most 256 bytes, as the version
	Version   string   `json:"version,omitempty"`
	PublicKey string   `json:"publicKey,omitempty"` // of the eUICC, as profile.ParsePublicKey reads it; may be empty
	MNO       string   `json:"mno,omitempty"`       // operator account; may be empty
	Code      AuthCode `json:"code,omitzero"`       // of a transfer
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
	ErrIDHeader   = errors.New("the first line must name the column Device ID")
	ErrCodeHeader = errors.New("the first line must name the columns Device ID,Authorization Code")

	ErrHeader    = errors.New("the first line must name the columns Device ID,Model,Version and optionally Public Key,MNO")
	ErrFields    = csvfile.ErrFields
	ErrCell      = csvfile.ErrCell
	ErrQuote     = csvfile.ErrQuote
	ErrText      = csvfile.ErrText
	ErrDuplicate = csvfile.ErrDuplicate
	ErrTooLarge  = csvfile.ErrTooLarge
)

// csvLimits bound what is read of a list.
type csvLimits struct {
	bytes int64
	rows  int
	wrong int // rows; a list with more is another kind of file
}

// csvColumns are the columns that ReadCSV knows.
var csvColumns = []csvfile.Column[Row]{
	{Name: "Device ID", Required: true, Set: func(r *Row, s string) (err error) { r.ID, err = eid.Parse(s); return err }},
	{Name: "Model", Required: true, Set: func(r *Row, s string) error { r.Model = s; return nil }},
	{Name: "Version", Required: true, Set: func(r *Row, s string) error { r.Version = s; return nil }},
	{Name: "Public Key", Lines: true, Set: func(r *Row, s string) error { r.PublicKey = s; return nil }},
	{Name: "MNO", Set: func(r *Row, s string) error { r.MNO = s; return nil }},
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
	return readList(r, csvColumns, ErrHeader)
}

// codeColumns are the columns that ReadCodes knows.
var codeColumns = []csvfile.Column[Row]{
	csvColumns[0],
	{Name: "Authorization Code", Required: true, Set: func(r *Row, s string) (err error) { r.Code, err = ParseAuthCode(s); return err }},
}

// ReadCodes reads the list that an owner hands to the provider of its choice:
// the columns Device ID and Authorization Code. All else is as in [ReadCSV].
func ReadCodes(r io.Reader) (rows []Row, bad []*RowError, err error) {
	return readList(r, codeColumns, ErrCodeHeader)
}

// ReadIDs reads a list of which only the column Device ID counts. All else is
// as in [ReadCSV].
func ReadIDs(r io.Reader) (rows []Row, bad []*RowError, err error) {
	return readList(r, csvColumns[:1], ErrIDHeader)
}

func readList(r io.Reader, columns []csvfile.Column[Row], header error) (rows []Row, bad []*RowError, err error) {
	rows, bad, err = readCSV(r, columns, header, csvLimits{bytes: 1 << 30, rows: 10_000_000, wrong: 100_000})
	if err != nil {
		return rows, bad, fmt.Errorf("registry: read list: %w", err)
	}
	return rows, bad, nil
}

func readCSV(r io.Reader, columns []csvfile.Column[Row], header error, limits csvLimits) (rows []Row, bad []*RowError, err error) {
	format := csvfile.Format[Row]{
		Columns:   columns,
		ErrHeader: header,
		New:       func(line int) Row { return Row{Line: line} },
		Key:       func(r *Row) string { return r.ID.String() },
		Limits:    csvfile.Limits{Bytes: limits.bytes, Rows: limits.rows, Wrong: limits.wrong},
	}
	rows, wrong, err := format.Read(r)
	for _, w := range wrong {
		bad = append(bad, &RowError{Line: w.Line, Column: w.Column, Err: w.Err})
	}
	return rows, bad, err
}
