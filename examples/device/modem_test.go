package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tty runs device modem and returns the path that it prints first.
func tty(t *testing.T, args ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var log bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"modem"}, args...), strings.NewReader(""), in, &log)
		in.Close()
	}()
	path, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "%s", &log)
	t.Cleanup(func() {
		stop()
		require.Zero(t, <-code, "%s", &log)
	})
	return strings.TrimSpace(path)
}

// A self-test over a terminal finds the same as one in process, whatever card and
// modem there are.
func TestModemAndSelftest(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"standard": nil, "cira": {"-quirks", "cira"}, "thales": {"-quirks", "Thales"}, "wolfssl": {"-quirks", "wolfssl"},
		"zariot": {"-quirks", "zariot"}, "mute": {"-mute", "-unquoted"}, "late": {"-late"}, "twice": {"-repeat"},
		"short": {"-cut", "250"}, "talkative": {"-unsolicited", "+CREG: 1", "-no-echo"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := tty(t, args...)
			code, text, stderr := once(t, "", "selftest", "-at", path, "-json")
			require.Zero(t, code, "%s %s", text, stderr)
			require.Empty(t, stderr)
			var r testResult
			require.NoError(t, json.Unmarshal([]byte(text), &r))
			require.True(t, r.OK)
			require.NotEmpty(t, r.Quirks)
			require.Len(t, r.Objects, 10)
			require.Len(t, r.Checks, 8)
			for _, c := range r.Checks {
				require.Equal(t, "PASS", c.Result, "%s: %s", c.Name, c.Text)
			}
			require.Contains(t, r.Checks[7].Text, "EID "+demoEID)
		})
	}
}

// A card from a file keeps its applet beside it, and has the ISD-R of the file.
func TestModemWithCard(t *testing.T) {
	t.Parallel()
	card := startMNO(t).card()
	path := tty(t, "-card", card)
	code, text, stderr := once(t, "", "selftest", "-at", path)
	require.Zero(t, code, "%s %s", text, stderr)
	require.Contains(t, text, "SKIP profile")
	require.Contains(t, text, "SKIP signature")
	require.Contains(t, text, "EID "+eidOf(t, card))
}

func TestSelftestInProcess(t *testing.T) {
	t.Parallel()
	code, text, stderr := once(t, "", "selftest")
	require.Zero(t, code, stderr)
	require.Equal(t, 8, strings.Count(text, "PASS "))
	require.Contains(t, text, "quirks: AID A0000005590010")
}

// liar is a card that spoils signatures.
type liar struct{ *uicc }

func (l liar) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	b, err := l.uicc.Transmit(ctx, command)
	if len(command) > 1 && command[1] == 0x2B && len(b) > 60 {
		b = slices.Clone(b)
		b[20] ^= 1
	}
	return b, err
}

func TestSelftestFails(t *testing.T) {
	t.Parallel()
	w := &world{}
	s := &selftest{card: liar{demo(t)}, now: w.clock(), sleep: w.pause, result: testResult{OK: true}}
	s.all(t.Context())
	require.False(t, s.result.OK)
	results := map[string]string{}
	for _, c := range s.result.Checks {
		results[c.Name] = c.Result
	}
	require.Equal(t, map[string]string{
		"applet": "PASS", "objects": "PASS", "random": "PASS", "signature": "FAIL", "verify": "FAIL", "ecdh": "PASS", "profile": "PASS", "isd-r": "PASS",
	}, results)
}

func TestModemUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{
		"modem -h": 0, "selftest -h": 0, "modem extra": 2, "modem -quirks best": 2, "modem -cut -1": 2, "modem -registry z": 2,
		"modem -card x -registry z": 2, "modem -card /nonexistent": 1, "selftest -at /nonexistent": 1, "selftest -at x -pcsc": 2, "selftest -at /dev/null -baud 7": 1,
	} {
		code, out, stderr := once(t, "", fields(args)...)
		require.Equal(t, want, code, "%s: %s", args, stderr)
		require.Equal(t, want == 0, out != "", args)
	}
}
