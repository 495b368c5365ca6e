package cardfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/examples/internal/cardfile"
	"github.com/iotregistry/sdk/registry/eid"
)

const id = "89049032123451234512345678901235"

func newCard(t testing.TB) *cardfile.Card {
	key := func() []byte {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		der, err := x509.MarshalPKCS8PrivateKey(k)
		require.NoError(t, err)
		return der
	}
	return &cardfile.Card{EID: eid.MustParse(id), Certificate: []byte{1}, EUM: []byte{2}, CIs: [][]byte{{3}}, Key: key(), Agreement: key(), SMDP: "smdp.example",
		EIM: "eim.example", EIMConfiguration: []byte{4}}
}

// What is written is read; nobody else can read it, and it is never written over.
func TestFile(t *testing.T) {
	t.Parallel()
	c, path := newCard(t), filepath.Join(t.TempDir(), "card.json")
	require.NoError(t, c.Create(path))
	require.ErrorContains(t, c.Create(path), "there already")
	got, err := cardfile.Read(path)
	require.NoError(t, err)
	require.Equal(t, c, got)
	_, err = got.Signer()
	require.NoError(t, err)
	opener, err := got.Opener()
	require.NoError(t, err)
	require.NotNil(t, opener)
	require.NotContains(t, fmt.Sprintf("%v %+v %x", got, got, got), fmt.Sprintf("%x", []byte(c.Key)))
	require.NoError(t, os.Chmod(path, 0o640))
	_, err = cardfile.Read(path)
	require.ErrorContains(t, err, "chmod 600")
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":        ``,
		"no object":      `[]`,
		"empty":          `{}`,
		"unknown member": `{"key2":"AAAA"}`,
		"wrong type":     `{"key":7}`,
		"secret quoted":  `{"key":"SECRET!"}`,
		"more after it":  `{} {}`,
		"wrong EID":      `{"eid":"1"}`,
		"half an eIM":    `{"eid":"` + id + `","certificate":"AA==","eum":"AA==","cis":["AA=="],"key":"AA==","eim":"eim.example"}`,
	} {
		_, err := cardfile.Parse([]byte(text))
		require.ErrorIs(t, err, cardfile.ErrCard, name)
		require.NotContains(t, err.Error(), "SECRET", name)
	}
	_, err := cardfile.Parse(make([]byte, 1<<20))
	require.ErrorIs(t, err, cardfile.ErrCard)

	c := newCard(t)
	c.Key, c.Agreement = []byte{1}, nil
	_, err = c.Signer()
	require.ErrorIs(t, err, cardfile.ErrCard)
	opener, err := c.Opener()
	require.NoError(t, err)
	require.Nil(t, opener, "a card may have none")
	c.Agreement = []byte{1}
	_, err = c.Opener()
	require.ErrorIs(t, err, cardfile.ErrCard)
}

// Cards of before there were eIMs are read.
func TestCardWithoutEIM(t *testing.T) {
	t.Parallel()
	c, err := cardfile.Parse([]byte(`{"eid":"` + id + `","certificate":"AA==","eum":"AA==","cis":["AA=="],"key":"AA==","smdp":"smdp.example"}`))
	require.NoError(t, err)
	require.Empty(t, c.EIM)
	require.Empty(t, c.EIMConfiguration)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"eid":"` + id + `","certificate":"AA==","eum":"AA==","cis":["AA=="],"key":"AA=="}`))
	f.Add([]byte(`{"eid":"1"`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := cardfile.Parse(text)
		if err != nil {
			require.ErrorIs(t, err, cardfile.ErrCard)
			return
		}
		_, _ = c.Signer()
		_, _ = c.Opener()
	})
}
