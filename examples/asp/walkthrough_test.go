package main

import (
	"bufio"
	"bytes"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// walkthrough returns the README's section about this program: what is to be typed
// in the first terminal, in the second, and lines that must come of it.
func walkthrough(t *testing.T) (first, second string, tells []string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut("\n"+string(text), "\n## A cloud of your own\n")
	if !ok {
		t.Skip("README.md has no section about a cloud of your own")
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
	require.Len(t, tells, 2)
	return first, second, tells
}

// TestWalkthrough runs exactly what is written, but in a folder and on ports of its
// own, and with a registry of the tests.
func TestWalkthrough(t *testing.T) {
	t.Parallel()
	first, second, tells := walkthrough(t)
	for _, program := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s to run the walkthrough with", program)
		}
	}
	s, dir := newStory(t), t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir+string(filepath.Separator), ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	token, err := os.ReadFile(s.token)
	require.NoError(t, err)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: mint(t, host).Leaf.Raw})
	for name, text := range map[string][]byte{"anchor.ds": []byte(s.world.Anchor()), "ca.pem": ca, "parkoserv.token": token} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "demo"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "demo", name), text, 0o600))
	}
	own := strings.NewReplacer("go run ./examples/asp", dir+"/asp", "127.0.0.1:8053", s.world.Addr(), "https://127.0.0.1:8443", s.url)
	line, stop := serveAs(t, dir, own.Replace(strings.TrimSpace(first))+" -https 127.0.0.1:0 -mqtt 127.0.0.1:0 -status 127.0.0.1:0")
	defer stop()
	ports := regexp.MustCompile(`HTTPS \S+:(\d+), MQTT (\S+), status http://(\S+)/;`).FindStringSubmatch(line)
	require.Len(t, ports, 4, line)
	moved := strings.NewReplacer("127.0.0.1:8450", "127.0.0.1:"+ports[1], "_8450.", "_"+ports[1]+".", "127.0.0.1:8883", ports[2], "127.0.0.1:8082", ports[3])
	begin, _, open := strings.Cut(moved.Replace(tells[0]), "...")
	require.True(t, open)
	require.True(t, strings.HasPrefix(line, begin), "%s\n%s", line, begin)

	run := exec.CommandContext(t.Context(), "sh", "-eu")
	run.Stdin = strings.NewReader(moved.Replace(second))
	out, err = run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, tells[1], strings.TrimSpace(string(out)))
}

// serveAs runs a command that serves in a folder, and returns the line that it
// prints when it does.
func serveAs(t *testing.T, dir, command string) (line string, stop func()) {
	t.Helper()
	run := exec.CommandContext(t.Context(), "sh", "-c", "exec "+command)
	var log bytes.Buffer
	run.Stderr, run.Dir = &log, dir
	stdout, err := run.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, run.Start())
	line, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err, "it ended before it served")
	return line, func() {
		require.NoError(t, run.Process.Signal(os.Interrupt))
		require.NoError(t, run.Wait(), "it ends when it is told to: %s", &log)
	}
}
