package bsp_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bsp"
)

func seedPackages(f *testing.F) [][]byte {
	var list [][]byte
	for _, n := range []int{1, 100, 1007, 2100} {
		b := binding(f)
		list = append(list, bind(f, b, bytesOf(n)))
		b.ProfileKeys = ppk()
		list = append(list, bind(f, b, bytesOf(n)))
	}
	return list
}

// Whatever is done to a package without its keys, and wherever it is cut into
// commands, the eUICC gets the profile that was bound, or refuses, or has one
// that ends early between two blocks.
func FuzzOpen(f *testing.F) {
	genuine := seedPackages(f)
	for _, pkg := range genuine {
		f.Add(pkg, uint16(0), byte(0), uint16(len(pkg)/2))
		f.Add(pkg, uint16(len(pkg)-1), byte(0x40), uint16(1))
	}
	f.Fuzz(func(t *testing.T, pkg []byte, at uint16, change byte, cut uint16) {
		pkg = bytes.Clone(pkg)
		if int(at) < len(pkg) {
			pkg[at] ^= change
		}
		n := min(int(cut), len(pkg))
		for _, commands := range [][][]byte{{pkg}, {pkg[:n], pkg[n:]}} {
			r := newReader(t, 1<<16)
			done, err := feed(r, commands)
			if !done {
				require.Nil(t, r.Profile())
				continue
			}
			require.NoError(t, err)
			require.Equal(t, unhex(t, metadata), r.Metadata())
			require.True(t, bytes.HasPrefix(bytesOf(2100), r.Profile()))
			if len(r.Profile())%bsp.MaxPlain != 0 {
				require.True(t, slices.ContainsFunc(genuine, func(g []byte) bool { return bytes.Equal(g, pkg) }))
			}
		}
	})
}

// One block at a time: what an Opener accepts is what was sealed.
func FuzzOpenBlock(f *testing.F) {
	for _, b := range chainOf(f, true) {
		f.Add(b, uint8(0))
		f.Add(b, uint8(1))
	}
	f.Fuzz(func(t *testing.T, block []byte, before uint8) {
		list := chainOf(t, true)
		o := bsp.NewOpener(sessionKeys(t))
		n := int(before) % len(list)
		_, err := openAll(o, list[:n])
		require.NoError(t, err)
		if _, err = o.Open(nil, block); err == nil {
			require.Equal(t, list[n], block)
			return
		}
		_, again := o.Open(nil, list[n])
		require.Equal(t, err, again)
	})
}

// Segments put together are the package, and none is out of bounds.
func FuzzSegments(f *testing.F) {
	for _, pkg := range seedPackages(f) {
		f.Add(pkg)
	}
	f.Add([]byte{0xBF, 0x36, 0})
	f.Fuzz(func(t *testing.T, pkg []byte) {
		before := sha256.Sum256(pkg)
		list, err := bsp.Segments(pkg)
		if err != nil {
			require.ErrorIs(t, err, bsp.ErrStructure)
			return
		}
		require.Equal(t, pkg, slices.Concat(list...))
		require.GreaterOrEqual(t, len(list), 4)
		require.Equal(t, before, sha256.Sum256(pkg))
	})
}
