package main

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// walkthrough returns the README's section about this program: what is to be
// typed in the first terminal, in the second, and lines that must come of it.
func walkthrough(t *testing.T) (first, second string, tells []string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut("\n"+string(text), "\n## An operator of your own\n")
	if !ok {
		t.Skip("README.md has no section about an operator of your own")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range regexp.MustCompile("(?s)```(sh|text)\n(.*?)```").FindAllStringSubmatch(section, -1) {
		switch {
		case block[1] == "text":
			tells = append(tells, strings.Split(strings.TrimSpace(block[2]), "\n")...)
		case first == "":
			first = block[2]
		default:
			second += block[2]
		}
	}
	require.NotEmpty(t, second)
	require.NotEmpty(t, tells)
	return first, second, tells
}

// TestWalkthrough runs exactly what is written, but in a folder and on ports of
// its own and with programs that are built once.
func TestWalkthrough(t *testing.T) {
	t.Parallel()
	first, second, tells := walkthrough(t)
	for _, program := range []string{"sh", "sed", "grep", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s to run the walkthrough with", program)
		}
	}
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(filepath.Separator), ".", "../device").CombinedOutput()
	require.NoError(t, err, "%s", out)
	own := func(script string) string {
		script = regexp.MustCompile(`go run \./examples/(\w+)`).ReplaceAllString(script, dir+"/$1")
		return regexp.MustCompile(`\btelco\b`).ReplaceAllString(script, dir+"/telco")
	}
	line := serve(t, own(strings.TrimSpace(first))+" -es2 127.0.0.1:0 -es9 127.0.0.1:0 -esipa 127.0.0.1:0")
	ports := regexp.MustCompile(`ES2\+ https://(\S+), ES9\+ https://(\S+); .* ESipa https://(\S+);`).FindStringSubmatch(line)
	require.Len(t, ports, 4, line)
	moved := strings.NewReplacer("127.0.0.1:8445", ports[1], "127.0.0.1:8444", ports[2], "127.0.0.1:8446", ports[3])

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, "sh", "-eu")
	run.Stdin = strings.NewReader(moved.Replace(own(second)))
	out, err = run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var told []string
	for text := range strings.Lines(line + string(out)) {
		told = append(told, strings.Join(strings.Fields(strings.ReplaceAll(text, dir+"/telco", "telco")), " "))
	}
	for _, want := range tells {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(moved.Replace(want)), `\.\.\.`, ".*")
		require.Regexp(t, `(?m)^`+pattern+`$`, strings.Join(told, "\n"))
	}
}

// serve runs a command that serves until the test ends, and returns the line that
// it prints when it does.
func serve(t *testing.T, command string) string {
	t.Helper()
	run := exec.Command("sh", "-c", "exec "+command)
	var log bytes.Buffer
	run.Stderr = &log
	stdout, err := run.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, run.Start())
	t.Cleanup(func() {
		require.NoError(t, run.Process.Signal(os.Interrupt))
		require.NoError(t, run.Wait(), "it ends when it is told to: %s", &log)
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err, "it ended before it served: %s", &log)
	return line
}
