package sqlstore

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// ErrNewer says that a newer program has changed the layout of the tables.
var ErrNewer = errors.New("the tables were made by a newer version of this program: upgrade the program, or restore a backup from before")

// Step is one numbered change of the layout, as SQL for one table.
//
// All tables have the same layout and their names come from registry.Tables, so
// a step is SQL with a placeholder for the table, carried out for each. It is a
// file and not Go code so that whoever runs the database can read what will
// happen to it, and so that a review sees when a released step is edited. A
// table that is made later goes through all steps from the first: there is no
// second description of the newest layout that could differ from their sum.
//
// The first step must bear tables that exist: programs made them before there
// were versions. For servers every statement must bear being run again (IF NOT
// EXISTS, IF EXISTS), since not every one can undo a half-done step; SQLite can.
type Step struct {
	Name string // of the file, such as 0001_records.sql
	text string
}

//go:embed migrations/*.sql
var files embed.FS

// Layout returns the steps of the SQLite store.
func Layout() ([]Step, error) {
	dir, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	return Steps(dir)
}

// Steps reads the steps 0001_name.sql, 0002_name.sql .. of a folder. The number
// of the last one is the version of the layout. A number that is left out or
// given twice is refused.
func Steps(dir fs.FS) ([]Step, error) {
	names, err := fs.Glob(dir, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	slices.Sort(names)
	steps := make([]Step, len(names))
	for i, name := range names {
		if want := fmt.Sprintf("%04d_", i+1); !strings.HasPrefix(name, want) {
			return nil, fmt.Errorf("sqlstore: step %s: its name must begin with %s: steps are numbered without gaps", name, want)
		}
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("sqlstore: step %s: %w", name, err)
		}
		steps[i] = Step{Name: name, text: string(text)}
	}
	return steps, nil
}

// SQL returns the step's statements, with placeholders replaced: pairs of a
// placeholder and what stands for it, as for [strings.NewReplacer].
func (s Step) SQL(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s.text) }
