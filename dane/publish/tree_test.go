package publish

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTree compares the tree with a sorted slice through growth and decay, deep
// enough that inner pages split and merge, and checks that old roots stay as
// they were.
func TestTree(t *testing.T) {
	t.Parallel()
	const names = 40_000
	random := rand.New(rand.NewPCG(1, 2))
	key := func(i int) string { return fmt.Sprintf("%06d\x00", i) }
	root := &page{leaf: []*node{{}}} // the apex
	have := map[string]bool{"": true}
	for gen := uint64(1); gen <= 12; gen++ {
		before, count := root, len(have)
		for range names / 2 {
			k := key(random.IntN(names))
			if random.IntN(12) >= int(gen) {
				root = root.put(&node{key: k}, gen)
				have[k] = true
			} else {
				root = root.remove(k, gen)
				delete(have, k)
			}
		}
		requireTree(t, root, have)
		require.Equal(t, count, size(before), "an old root changed")
	}
	for i := range names {
		if root = root.remove(key(i), 13); len(have) > 1 {
			delete(have, key(i))
		}
	}
	requireTree(t, root, map[string]bool{"": true})
	require.Nil(t, root.remove("", 14))
}

func size(p *page) int {
	n := 0
	p.ascend("", func(*node) bool { n++; return true })
	return n
}

func requireTree(t *testing.T, root *page, have map[string]bool) {
	t.Helper()
	var want, got []string
	for k := range have {
		want = append(want, k)
	}
	slices.Sort(want)
	root.ascend("", func(n *node) bool { got = append(got, n.key); return true })
	require.Equal(t, want, got)
	for i := 0; i < 40_000; i += 7 {
		k := fmt.Sprintf("%06d\x00", i)
		at, found := slices.BinarySearch(want, k)
		n := root.get(k)
		require.Equal(t, found, n != nil)
		next := root.ceil(k)
		require.Equal(t, at < len(want), next != nil)
		if next != nil {
			require.Equal(t, want[at], next.key)
		}
		if !found {
			at--
		}
		require.Equal(t, want[at], root.floor(k).key)
	}
}
