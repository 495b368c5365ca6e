// Command testcount reads the output of "go test -json" and prints what a person
// wants to know of it: failures with their output, slow packages, skips, and how
// many tests passed and failed.
//
//	go test -json ./... | testcount -skips .ci/skips -count counts.txt
//
// It exits with status 1 where a test or package failed, where a test was
// skipped for a reason that the -skips file does not allow, or where no test
// ran at all.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	skips := flag.String("skips", "", "`file` of allowed skips, one regular expression a line; empty: all are allowed")
	count := flag.String("count", "", "append \"passed failed\" to this `file`")
	flag.Parse()
	ok, err := run(os.Stdin, os.Stdout, *skips, *count)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testcount:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, skipsFile, countFile string) (bool, error) {
	allowed, err := readSkips(skipsFile)
	if err != nil {
		return false, err
	}
	t := newTally(allowed)
	if err := t.read(in, out); err != nil {
		return false, err
	}
	t.report(out)
	passed, failed := t.counts()
	if countFile == "" {
		return failed == 0 && passed > 0, nil
	}
	f, err := os.OpenFile(countFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return false, err
	}
	_, err = fmt.Fprintln(f, passed, failed)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return failed == 0 && passed > 0, err
}
