package eimtest_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/mno/eim/eimtest"
)

const brokenEnv = "EIMTEST_BROKEN"

// faults of a store, and the rule that must notice.
var faults = map[string]string{
	"does not look into history":    "an EID and the jobs of a record find it",
	"looks at the first job":        "a job finds its record wherever it stands there",
	"never forgets a job":           "a job that leaves its record is forgotten",
	"folds letters":                 "job IDs are compared as bytes",
	"keeps a hundred jobs":          "a thousand jobs find their record",
	"counts by two":                 "stored versions count up by one",
	"takes any version":             "another version than the stored one changes nothing",
	"overwrites by new records":     "another version than the stored one changes nothing",
	"forgets when it was asked for": "every field comes back as it was put",
	"keeps seconds":                 "every field comes back as it was put",
	"makes empty of nil":            "what is not set stays so",
	"makes zero of nil":             "what is not set stays so",
	"merges profiles":               "a replaced record keeps nothing of the old one",
	"is racy":                       "of many that make or change one record exactly one wins",
	"does not look at contexts":     "an ended context stops the call",
}

func broken(fault string) eim.Store {
	if fault == "is racy" {
		return racy{&naive{}}
	}
	return &naive{fault: fault}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	eimtest.TestStore(t, func(*testing.T) eim.Store { return new(eim.Memory) })
}

// A second store that has nothing in common with Memory passes.
func TestNaive(t *testing.T) {
	t.Parallel()
	eimtest.TestStore(t, func(*testing.T) eim.Store { return &naive{} })
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
	eimtest.TestStore(t, func(*testing.T) eim.Store { return broken(fault) })
}
