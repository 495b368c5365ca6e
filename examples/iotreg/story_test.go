package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/transfer"
)

// TestTranscript: what every command prints, success and refusal, is what
// testdata/transcript.txt has.
func TestTranscript(t *testing.T) {
	t.Parallel()
	o := newOffice(t, transfer.Policy{})
	o.parties()
	var script strings.Builder
	for _, step := range strings.Split(strings.TrimSpace(transcript), "\n") {
		account, line, _ := strings.Cut(step, ": ")
		if account == "seal" { // the trail is sealed in the background
			_, err := o.reg.SealAudit(t.Context(), rootActor)
			require.NoError(t, err)
			continue
		}
		code, stdout, stderr := o.iotreg(account, line)
		if code == 0 {
			stderr = "" // progress
		}
		fmt.Fprintf(&script, "%s$ iotreg %s\n%s%s[%d]\n\n", account, strings.ReplaceAll(line, "@", ""), stdout, stderr, code)
	}
	golden(t, "transcript.txt", o.mask(script.String()))

	info, err := os.Stat(o.path("codes.csv"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
}

// transcript is ACCOUNT: COMMAND on each line.
const transcript = `
registry: account put newowner -role owner -name Somebody
registry: account show newowner
parkoserv: account show
parkoserv: account show ottawa
registry: account list
registry: account list -role maker -limit 1
parkoserv: account put me -role operator
registry: token issue newowner -out @newowner.token -lifetime 24h -label laptop
registry: token issue newowner -out @newowner.token
newowner: account show
newowner: token list
newowner: devices
parkoserv: claims @claims.csv @claims.csv.sig
parkoserv: claims @claims.csv @maker.pem
parkoserv: import @meters.csv -owner ottawa -mno telco -dry-run
parkoserv: import @meters.csv -owner ottawa -mno telco
parkoserv: import @meters.csv -owner ottawa -mno telco
carparkserv: import @meters.csv -owner ottawa -atomic
ottawa: import @meters.csv -owner ottawa
parkoserv: activate @meters.csv
parkoserv: profiles 1000000000000001
carparkserv: profiles 1000000000000001
parkoserv: reset 1000000000000002
parkoserv: switch -mno othertel 1000000000000003
parkoserv: status -add clientHold -why stolen 1000000000000004
parkoserv: status -add serverHold 1000000000000004
ottawa: device 1000000000000004
parkoserv: status -remove clientHold 1000000000000004
ottawa: devices
ottawa: devices -limit 2
parkoserv: delete -
parkoserv: device 1000000000000005
parkoserv: restore 1000000000000005
parkoserv: profiles 1000000000000005
ottawa: card-keys forget 1000000000000005
parkoserv: card-keys forget 1000000000000005
parkoserv: device 1000000000000005
ottawa: codes @meters.csv -out @codes.csv
ottawa: codes @meters.csv -out @codes.csv
parkoserv: codes @meters.csv -show
carparkserv: transfer @codes.csv
carparkserv: transfer @codes.csv
carparkserv: confirm 1000000000000001 1000000000000002:999
carparkserv: profiles 1000000000000001
parkoserv: transfer history 1000000000000001
carparkserv: transfer incoming
ottawa: transfer undo 1000000000000001
ottawa: transfer approve 1000000000000001
ottawa: codes 1000000000000002 -show
carparkserv: device 1000000000000002
ottawa: codes clear 1000000000000002
parkoserv: codes clear 1000000000000002
parkoserv: messages -limit 3
seal: -
ottawa: timeline 1000000000000001
auditor: audit export -out @trail.jsonl
parkoserv: audit export
auditor: audit head -out @head.json
: audit verify -zone iotregistry.ca -key @audit-key.pem -head @head.json -keep @kept.json @trail.jsonl
: audit verify -zone iotregistry.ca @trail.jsonl
: audit verify -zone elsewhere.example -key @audit-key.pem @trail.jsonl
registry: token revoke t-0000
parkoserv: job show none
`

// TestPending: where the losing provider is asked, each side has its word.
func TestPending(t *testing.T) {
	t.Parallel()
	o := newOffice(t, transfer.Policy{Wait: time.Hour})
	o.parties()
	o.do("parkoserv", "claims @claims.csv @claims.csv.sig")
	o.do("parkoserv", "import @meters.csv -owner ottawa -mno telco")
	o.do("parkoserv", "activate @meters.csv")
	o.do("ottawa", "codes @meters.csv -out @codes.csv")
	require.Contains(t, o.do("carparkserv", "transfer @codes.csv"), "pending")
	require.Contains(t, o.do("carparkserv", "transfer incoming"), "1000000000000005  pending")
	require.Contains(t, o.do("ottawa", "device 1000000000000001"), "to carparkserv, at 2026-06-01T13:00:00Z")
	o.do("parkoserv", "transfer approve 1000000000000001 -key once")
	o.do("parkoserv", "transfer approve 1000000000000001 -key once")
	o.do("parkoserv", "transfer reject 1000000000000002")
	o.do("carparkserv", "transfer cancel 1000000000000003 1000000000000004")
	incoming := o.do("carparkserv", "transfer incoming")
	require.Equal(t, 2, strings.Count(incoming, "\n"), incoming)
	require.Contains(t, o.do("parkoserv", "transfer history 1000000000000002"), "clientRejected")
}

// TestJobs: a job can be left alone, looked at, and submitted twice.
func TestJobs(t *testing.T) {
	t.Parallel()
	o := newOffice(t, transfer.Policy{})
	o.parties()
	o.do("parkoserv", "claims @claims.csv @claims.csv.sig")
	_, first := o.object("parkoserv", "import @meters.csv -owner ottawa -mno telco -no-wait -key monday")
	id := first["item"].(map[string]any)["id"].(string)
	_, second := o.object("parkoserv", "import @meters.csv -owner ottawa -mno telco -no-wait -key monday")
	require.Equal(t, id, second["item"].(map[string]any)["id"])
	code, _, stderr := o.iotreg("parkoserv", "import @meters.csv -owner ottawa -no-wait -key monday")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "another request")

	require.Contains(t, o.do("parkoserv", "job watch "+id), "5 devices: 5 done, 0 failed")
	require.Contains(t, o.do("parkoserv", "job results "+id), "5 devices: 5 done, 0 failed")
	require.Contains(t, o.do("parkoserv", "job show "+id), "5, 5 done, 0 failed")
	require.Contains(t, o.do("parkoserv", "job list"), id)
	require.Contains(t, o.do("parkoserv", "job cancel "+id), "done", "what has ended stays so")
	code, _, stderr = o.iotreg("carparkserv", "job show "+id)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "no such job")
}

// TestMessages: what is acknowledged does not come back.
func TestMessages(t *testing.T) {
	t.Parallel()
	o := newOffice(t, transfer.Policy{})
	o.parties()
	o.do("parkoserv", "claims @claims.csv @claims.csv.sig")
	o.do("parkoserv", "import @meters.csv -owner ottawa -mno telco")
	_, queue := o.object("parkoserv", "messages")
	id := queue["items"].([]any)[0].(map[string]any)["id"].(string)
	require.Contains(t, o.do("parkoserv", "ack "+id), "1 message acknowledged")
	require.Contains(t, o.do("parkoserv", "messages"), "none")
}
