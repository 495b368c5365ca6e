package sqlite_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const limitEnv = "SQLITE_FILE_LIMIT"

// Files that may not grow are as good as a full disk, also in the middle of a
// COMMIT. The limit is the whole process's, so the test has one of its own.
func TestWriteFailsDuringCommit(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestWithFileLimit$")
	cmd.Env = append(os.Environ(), limitEnv+"=yes")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "updates failed with room")
}

// TestWithFileLimit is the process that TestWriteFailsDuringCommit starts.
func TestWithFileLimit(t *testing.T) {
	if os.Getenv(limitEnv) == "" {
		return
	}
	signal.Ignore(syscall.SIGXFSZ) // so that write(2) fails with EFBIG
	var unlimited syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &unlimited))
	path := filepath.Join(t.TempDir(), "registry.db")
	s := openFile(t, path)
	kept := map[string]bool{}
	for _, more := range []uint64{1, 100_001, 300_000} {
		log, err := os.Stat(path + "-wal")
		require.NoError(t, err)
		limit := uint64(log.Size()) + more
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: unlimited.Max}))
		errs := make([]error, 100)
		var wg sync.WaitGroup
		for w := range 4 { // so that groups are small, and some are committed
			wg.Go(func() {
				for i := w; i < len(errs); i += 4 {
					errs[i] = add(t.Context(), s, fmt.Sprint(limit, i))
				}
			})
		}
		wg.Wait()
		failed := 0
		for i, err := range errs {
			if err != nil {
				failed++
			} else {
				kept[fmt.Sprint(limit, i)] = true
			}
		}
		require.Equal(t, kept, keys(t, s))

		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &unlimited))
		for i, err := range errs {
			if err != nil {
				require.NoError(t, add(t.Context(), s, fmt.Sprint(limit, i)), "repeated")
				kept[fmt.Sprint(limit, i)] = true
			}
		}
		fmt.Printf("%d of %d updates failed with room for %d bytes\n", failed, len(errs), more)
	}
	require.Equal(t, kept, keys(t, openFile(t, path)))
}
