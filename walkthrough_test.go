package sdk_test

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

// walkthrough returns the second walkthrough: what is to be typed in the first
// terminal, in the second, and lines that must come of it.
func walkthrough(t *testing.T) (first, second string, tells []string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut("\n"+string(text), "\n## A registry of your own\n")
	require.True(t, ok)
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
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh to run the walkthrough with")
	}
	first, second, tells := walkthrough(t)
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(filepath.Separator), "./examples/registry", "./examples/iotreg")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	own := func(script string) string {
		script = regexp.MustCompile(`go run \./examples/(\w+)`).ReplaceAllString(script, dir+"/$1")
		return regexp.MustCompile(`\bdemo\b`).ReplaceAllString(script, dir+"/demo")
	}
	line := serve(t, shell, own(strings.TrimSpace(first))+" -listen 127.0.0.1:0 -dns 127.0.0.1:0 -metrics 127.0.0.1:0")
	ports := regexp.MustCompile(`API https://(\S+), DNS (\S+) `).FindStringSubmatch(line)
	require.Len(t, ports, 3, line)
	moved := strings.NewReplacer("127.0.0.1:8443", ports[1], "127.0.0.1:8053", ports[2])

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, shell, "-eu")
	run.Stdin = strings.NewReader(moved.Replace(own(second)))
	out, err = run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	told := "\n" + squeeze(line) + "\n"
	for text := range strings.Lines(strings.ReplaceAll(string(out), dir+"/demo", "demo")) {
		told += squeeze(text) + "\n"
	}
	for _, want := range tells {
		start, _, open := strings.Cut(moved.Replace(want), "...")
		if !open {
			start += "\n"
		}
		require.Contains(t, told, "\n"+start)
	}
}

func squeeze(line string) string { return strings.Join(strings.Fields(line), " ") }

// serve runs a command that serves until the test ends, and returns the line that
// it prints when it does.
func serve(t *testing.T, shell, command string) string {
	t.Helper()
	run := exec.Command(shell, "-c", "exec "+command)
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
	require.NoError(t, err, "it ended before it served")
	return line
}
