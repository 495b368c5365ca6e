package rsp_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
)

const issuer rsp.OID = "2.999.42"

func ts48(t testing.TB) map[string][]byte {
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "data", "ts48", "*.der"))
	require.NoError(t, err)
	packages := map[string][]byte{}
	for _, name := range files {
		packages[filepath.Base(name)], err = os.ReadFile(name)
		require.NoError(t, err)
	}
	return packages
}

func TestTS48Packages(t *testing.T) {
	t.Parallel()
	packages := ts48(t)
	if len(packages) == 0 {
		t.Skip("shared/data has no TS.48 profile packages here")
	}
	iccids := map[string]rsp.ICCID{
		"TS48v1_A.der": "89000123456789012341", "TS48V5-SAIP2-3-NOBERTLV-UNIQUE.der": "8949449999999990171",
	}
	for name, b := range packages {
		list, err := rsp.ProfileElements(b)
		require.NoError(t, err, name)
		header, err := rsp.Decode[rsp.ProfileHeader](list[0].Raw)
		require.NoError(t, err, name)
		require.Equal(t, 2, header.Major)
		require.Equal(t, iccids[name], header.ICCID)
		require.Equal(t, "GSMA Generic eUICC Test Profile", header.Type)
		require.NotEmpty(t, header.Templates)
		again, err := rsp.Encode(header)
		require.NoError(t, err)
		require.Equal(t, list[0].Raw, again, name)

		_, err = rsp.FindNonStandard(b, issuer)
		require.ErrorIs(t, err, rsp.ErrFormat, "nothing of the issuer's in it yet")
		with, err := rsp.InsertNonStandard(b, issuer, []byte("sealed profile"))
		require.NoError(t, err)
		found, err := rsp.FindNonStandard(with, issuer)
		require.NoError(t, err)
		require.Equal(t, []byte("sealed profile"), found)
		longer, err := rsp.ProfileElements(with)
		require.NoError(t, err)
		require.Len(t, longer, len(list)+1)
		for i := range list[:len(list)-1] {
			require.Equal(t, list[i].Raw, longer[i].Raw, "the rest stays as it was")
		}
		before, err := rsp.Decode[rsp.ProfileEnd](list[len(list)-1].Raw)
		require.NoError(t, err)
		after, err := rsp.Decode[rsp.ProfileEnd](longer[len(longer)-1].Raw)
		require.NoError(t, err)
		require.Equal(t, before.Header.ID+1, after.Header.ID)
	}
}

func TestWrapProfile(t *testing.T) {
	t.Parallel()
	b, err := rsp.WrapProfile("89000123456789012341", "IoT", issuer, []byte("sealed profile"))
	require.NoError(t, err)
	require.Equal(t, unhex(t, "A01B 800102 810103 8203496F54 830A89000123456789012341 A500 A600"+
		"A91A A003810101 810388372A 820E7365616C65642070726F66696C65"+"AA07 A0058000810102"), b)
	found, err := rsp.FindNonStandard(b, issuer)
	require.NoError(t, err)
	require.Equal(t, []byte("sealed profile"), found)
	_, err = rsp.FindNonStandard(b, "2.999.43")
	require.ErrorIs(t, err, rsp.ErrFormat)
	twice, err := rsp.InsertNonStandard(b, issuer, nil)
	require.NoError(t, err)
	_, err = rsp.FindNonStandard(twice, issuer)
	require.ErrorIs(t, err, rsp.ErrFormat, "two of the issuer's")

	_, err = rsp.WrapProfile("1", "IoT", issuer, nil)
	require.ErrorIs(t, err, rsp.ErrFormat)
	_, err = rsp.WrapProfile("89000123456789012341", "IoT", issuer, make([]byte, rsp.MaxPackage-40))
	require.ErrorIs(t, err, rsp.ErrFormat, "together too large")
}

func TestProfileElementsRefuses(t *testing.T) {
	t.Parallel()
	for rule, b := range map[string]string{
		"nothing":               "",
		"no header":             "A900 AA00",
		"no end":                "A000 A900",
		"two headers":           "A000 A000 AA00",
		"two ends":              "A000 AA00 AA00",
		"bytes after the end":   "A000 AA00 00",
		"element cut short":     "A000 A901",
		"broken within":         "A000 A90104 AA00",
		"an end alone":          "AA00",
		"padding in the middle": "A000 00 AA00",
	} {
		_, err := rsp.ProfileElements(unhex(t, b))
		require.ErrorIs(t, err, rsp.ErrFormat, rule)
		_, err = rsp.FindNonStandard(unhex(t, b), issuer)
		require.ErrorIs(t, err, rsp.ErrFormat, rule)
		_, err = rsp.InsertNonStandard(unhex(t, b), issuer, nil)
		require.ErrorIs(t, err, rsp.ErrFormat, rule)
	}
	_, err := rsp.ProfileElements(make([]byte, rsp.MaxPackage+1))
	require.ErrorIs(t, err, rsp.ErrFormat)
	many := unhex(t, "A000")
	for range 1024 {
		many = append(many, 0xA2, 0)
	}
	_, err = rsp.ProfileElements(append(many, 0xAA, 0))
	require.ErrorIs(t, err, rsp.ErrFormat)
}

func FuzzProfilePackage(f *testing.F) {
	b, err := rsp.WrapProfile("89000123456789012341", "IoT", issuer, []byte("sealed profile"))
	require.NoError(f, err)
	f.Add(b)
	for _, b := range ts48(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := rsp.ProfileElements(b)
		if err != nil {
			require.ErrorIs(t, err, rsp.ErrFormat)
			return
		}
		var joined []byte
		for _, e := range list {
			joined = append(joined, e.Raw...)
		}
		require.Equal(t, b, joined)
		if _, err := rsp.FindNonStandard(b, "2.999.43.1"); err == nil {
			return
		}
		with, err := rsp.InsertNonStandard(b, "2.999.43.1", bertlv.Append(nil, 0x04))
		if err != nil {
			return
		}
		if _, err := rsp.FindNonStandard(with, "2.999.43.1"); err != nil {
			_, before := rsp.FindNonStandard(b, "2.999.43.2") // an element that is none stays one
			require.Error(t, before)
		}
	})
}
