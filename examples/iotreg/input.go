package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// reader reads one kind of list.
type reader func(io.Reader) ([]registry.Row, []*registry.RowError, error)

// maxBadRows is how many wrong rows of a list are told.
const maxBadRows = 20

// rows reads a list of devices, "-" being standard input. A list with a wrong
// row is refused whole, before anything is asked of the registry.
func (s *session) rows(path string, read reader) ([]registry.Row, error) {
	f, err := s.file(path)
	if err != nil {
		return nil, usageError{err}
	}
	defer f.Close()
	rows, bad, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(bad) == 0 {
		return rows, nil
	}
	return nil, &wrongRows{path, bad}
}

// wrongRows says what is wrong with a list.
type wrongRows struct {
	path string
	bad  []*registry.RowError
}

func (e *wrongRows) Error() string {
	lines := []string{fmt.Sprintf("%s: %s wrong, so nothing was asked for:", e.path, count(len(e.bad), "row"))}
	for _, b := range e.bad[:min(len(e.bad), maxBadRows)] {
		lines = append(lines, b.Error())
	}
	if more := len(e.bad) - maxBadRows; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

func (s *session) file(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(s.stdin), nil
	}
	return os.Open(path)
}

// devices reads the devices that a command names: device IDs, and lists of them.
func (s *session) devices(args []string) ([]registry.Row, error) {
	var all []registry.Row
	for _, arg := range args {
		if id, err := eid.Parse(arg); err == nil {
			all = append(all, registry.Row{ID: id})
			continue
		}
		rows, err := s.rows(arg, registry.ReadIDs)
		if errors.Is(err, os.ErrNotExist) {
			return nil, usagef("%q is neither a device ID nor a file", arg)
		}
		if err != nil {
			return nil, err
		}
		all = slices.Concat(all, rows)
	}
	if len(all) == 0 {
		return nil, usagef("the list names no devices")
	}
	return all, nil
}

// ids is devices without the lines.
func (s *session) ids(args []string) ([]eid.ID, error) {
	rows, err := s.devices(args)
	ids := make([]eid.ID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	return ids, err
}

func oneID(arg string) (eid.ID, error) {
	id, err := eid.Parse(arg)
	if err != nil {
		return id, usagef("%q is no device ID: %w", arg, err)
	}
	return id, nil
}

// output is where a command writes what is no report: a new file that is its
// user's alone.
func output(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, usageError{err}
	}
	return f, nil
}
