package smdptest_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/mno/smdp/smdptest"
)

const brokenEnv = "SMDPTEST_BROKEN"

// faults of a store, and the rule that must notice.
var faults = map[string]string{
	"ignores profile IDs":                "ICCID, matching ID, device and transaction find a profile",
	"counts with signs":                  "a device alone has its highest profile ID",
	"takes the last that is set":         "a query goes by the first that is set",
	"forgets what was downloaded":        "an eUICC finds what waits for it and nothing else",
	"gives out what needs a matching ID": "an eUICC finds what waits for it and nothing else",
	"takes the highest ICCID":            "of several that wait it is the newest, then the lowest ICCID",
	"never forgets a transaction":        "a transaction that leaves its record is forgotten",
	"counts by two":                      "stored versions count up by one",
	"takes any version":                  "another version than the stored one changes nothing",
	"takes a matching ID twice":          "unique values that are taken change nothing",
	"takes a profile ID twice":           "unique values twice in one Put change nothing",
	"takes no matching ID for one":       "no matching ID and no profile ID are nobody's",
	"keeps the first half":               "all of a Put is stored or nothing",
	"forgets the failure":                "every field comes back as it was put",
	"keeps seconds":                      "every field comes back as it was put",
	"makes empty of nil":                 "what is not set stays so",
	"cuts packages":                      "a package of a megabyte survives",
	"is racy":                            "of many that change one record exactly one wins",
	"does not look at contexts":          "an ended context stops the call",
}

func broken(fault string) smdp.Store {
	if fault == "is racy" {
		return racy{&naive{}}
	}
	return &naive{fault: fault}
}

// A second store that has nothing in common with Memory passes.
func TestNaive(t *testing.T) {
	t.Parallel()
	smdptest.TestStore(t, func(*testing.T) smdp.Store { return &naive{} })
}

// The suite is worth what it notices: each faulty store is run in a process of
// its own, whose failure is the expected one.
func TestSuiteNoticesBrokenStores(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	for fault, rule := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			name := strings.ReplaceAll(rule, " ", "_")
			cmd := exec.CommandContext(t.Context(), self, "-test.v", "-test.run=^TestBrokenStore$/^"+regexp.QuoteMeta(name)+"$")
			cmd.Env = append(os.Environ(), brokenEnv+"="+fault)
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "the suite accepts a store that %s", fault)
			require.Contains(t, string(out), "--- FAIL: TestBrokenStore/"+name)
		})
	}
}

// TestBrokenStore is the process that TestSuiteNoticesBrokenStores starts.
func TestBrokenStore(t *testing.T) {
	fault := os.Getenv(brokenEnv)
	if fault == "" {
		return
	}
	smdptest.TestStore(t, func(*testing.T) smdp.Store { return broken(fault) })
}
