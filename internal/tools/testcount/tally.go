package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// event is one line of "go test -json"; see "go doc test2json".
type event struct {
	Action, Package, ImportPath, Test, Output string
	FailedBuild                               string
	Elapsed                                   float64
}

// key names a test; an empty test is the package itself.
type key struct{ pkg, test string }

func (k key) String() string { return strings.TrimSuffix(k.pkg+"."+k.test, ".") }

type tally struct {
	allowed []*regexp.Regexp // nil: every skip is
	result  map[key]string   // pass, fail or skip
	output  map[key][]string
	elapsed map[key]float64
	build   map[string][]string // by import path
	skipped []string
	refused []string // skips that are not allowed
}

func newTally(allowed []*regexp.Regexp) *tally {
	return &tally{allowed: allowed, result: map[key]string{}, output: map[key][]string{},
		elapsed: map[key]float64{}, build: map[string][]string{}}
}

// readSkips reads regular expressions, one a line; # starts a comment.
func readSkips(file string) ([]*regexp.Regexp, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	allowed := []*regexp.Regexp{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		re, err := regexp.Compile(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		allowed = append(allowed, re)
	}
	return allowed, nil
}

// read takes in all events and prints each package as it ends. A line that is
// no event, such as the go command's own complaint, is printed and counts as a
// failure: it means that something did not run.
func (t *tally) read(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Action == "" {
			fmt.Fprintln(out, lines.Text())
			t.result[key{"go", lines.Text()}] = "fail"
			continue
		}
		t.add(e, out)
	}
	return lines.Err()
}

func (t *tally) add(e event, out io.Writer) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "output":
		t.output[k] = append(t.output[k], e.Output)
	case "build-output":
		t.build[e.ImportPath] = append(t.build[e.ImportPath], e.Output)
	case "pass", "skip":
		t.finish(k, e)
	case "fail":
		t.finish(k, e)
		if e.FailedBuild != "" {
			t.output[k] = append(t.output[k], t.build[e.FailedBuild]...)
			delete(t.build, e.FailedBuild)
		}
		if e.Test == "" {
			fmt.Fprintf(out, "FAIL %s\n", e.Package)
		}
	}
}

func (t *tally) finish(k key, e event) {
	t.result[k], t.elapsed[k] = e.Action, e.Elapsed
	if e.Action != "skip" || k.test == "" { // a package without tests counts for nothing
		return
	}
	why := fmt.Sprintf("%s: %s", k, reason(t.output[k]))
	t.skipped = append(t.skipped, why)
	if t.allowed != nil && !slices.ContainsFunc(t.allowed, func(re *regexp.Regexp) bool { return re.MatchString(why) }) {
		t.refused = append(t.refused, why)
	}
}

// reason is what a skipped test said, without the framework's own lines.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

// counts counts tests, sub-tests included; a package that failed without any
// failed test of its own (it did not build, it was stopped) counts as one
// failure, and so does a refused skip.
func (t *tally) counts() (passed, failed int) {
	failedTests := map[string]bool{}
	for k, result := range t.result {
		switch {
		case k.test == "":
		case result == "pass":
			passed++
		case result == "fail":
			failed++
			failedTests[k.pkg] = true
		}
	}
	for k, result := range t.result {
		if k.test == "" && result == "fail" && !failedTests[k.pkg] {
			failed++
		}
	}
	return passed, failed + len(t.refused)
}

func (t *tally) report(out io.Writer) {
	for _, k := range t.sorted(func(k key) bool { return t.result[k] == "fail" }) {
		fmt.Fprintf(out, "\n=== failed: %s\n%s", k, strings.Join(t.output[k], ""))
	}
	// A package that died under a running test reports that test as neither.
	for _, k := range t.sorted(func(k key) bool { return k.test != "" && t.result[k] == "" }) {
		fmt.Fprintf(out, "\n=== never ended: %s\n%s", k, strings.Join(t.output[k], ""))
	}
	for _, why := range t.skipped {
		fmt.Fprintln(out, "skipped:", why)
	}
	for _, why := range t.refused {
		fmt.Fprintln(out, "SKIP NOT ALLOWED:", why)
	}
	slow := t.sorted(func(k key) bool { return k.test == "" && t.elapsed[k] >= 5 })
	slices.SortFunc(slow, func(a, b key) int { return cmp.Compare(t.elapsed[b], t.elapsed[a]) })
	for _, k := range slow {
		fmt.Fprintf(out, "slow: %5.1f s %s\n", t.elapsed[k], k.pkg)
	}
	passed, failed := t.counts()
	fmt.Fprintf(out, "tests: %d passed, %d failed, %d skipped\n", passed, failed, len(t.skipped))
}

// sorted returns the keys seen for which want holds, in a fixed order.
func (t *tally) sorted(want func(key) bool) []key {
	var keys []key
	seen := map[key]bool{}
	add := func(k key) {
		if !seen[k] && want(k) {
			keys = append(keys, k)
		}
		seen[k] = true
	}
	for k := range t.result {
		add(k)
	}
	for k := range t.output {
		add(k)
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.test, b.test)) })
	return keys
}
