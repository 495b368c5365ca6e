package main

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
)

// report is the outcome of one bench.
type report struct {
	Bench    string    `json:"bench"`
	Go       string    `json:"go"`
	OS       string    `json:"os"`
	CPUs     int       `json:"cpus"`
	Measures []measure `json:"measures"`

	live io.Writer // where sections are printed as they come; nil for JSON
}

// measure is one figure.
type measure struct {
	Section string   `json:"section"`
	Name    string   `json:"name"` // stable
	Value   float64  `json:"value"`
	Unit    string   `json:"unit"`
	Goal    *float64 `json:"goal,omitempty"` // at most
	Met     *bool    `json:"met,omitempty"`
	Note    string   `json:"note,omitempty"`
}

func newReport(bench string) *report {
	return &report{Bench: bench, Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), Measures: []measure{}}
}

// section begins a group of figures.
func (r *report) section(id, title string) *section {
	if r.live != nil {
		fmt.Fprintf(r.live, "\n%s\n", title)
	}
	return &section{r, id}
}

type section struct {
	report *report
	id     string
}

// add records a figure without a goal.
func (s *section) add(name string, value float64, unit, note string) {
	s.put(measure{Section: s.id, Name: name, Value: value, Unit: unit, Note: note})
}

// goal records a figure that should be at most a bound.
func (s *section) goal(name string, value float64, unit string, bound float64, note string) {
	met := value <= bound
	s.put(measure{Section: s.id, Name: name, Value: value, Unit: unit, Goal: &bound, Met: &met, Note: note})
}

// skip says what was not measured, and why.
func (s *section) skip(name, why string) {
	if s.report.live != nil {
		fmt.Fprintf(s.report.live, "  %-34s skipped: %s\n", name, why)
	}
}

func (s *section) put(m measure) {
	s.report.Measures = append(s.report.Measures, m)
	if w := s.report.live; w != nil {
		fmt.Fprintf(w, "  %-34s %10s %s", m.Name, number(m.Value), m.Unit)
		if m.Goal != nil {
			verdict := "met"
			if !*m.Met {
				verdict = "MISSED"
			}
			fmt.Fprintf(w, "  (goal <= %s: %s)", number(*m.Goal), verdict)
		}
		if m.Note != "" {
			fmt.Fprintf(w, "  %s", m.Note)
		}
		fmt.Fprintln(w)
	}
}

// number prints three digits that count, and whole numbers whole.
func number(f float64) string {
	if f == float64(int64(f)) || f >= 1000 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}
