package euicc_test

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bsp"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/internal/rsp/cert"
	"github.com/iotregistry/sdk/internal/rsp/rsptest"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

func verifierOf(pki *rsptest.PKI) *cert.Verifier {
	return &cert.Verifier{CIs: [][]byte{pki.CI.DER}, Now: func() time.Time { return start().AddDate(1, 0, 0) }}
}

// withCard gives the chip a card of device id and returns what seals for it.
func withCard(t testing.TB) (*world, func(n uint64) []byte) {
	seal, trust := sealer(t)
	w := newWorld(t, func(c *euicc.ChipConfig) { c.Card, c.Issuer, c.Trust = newCard(t), issuer, trust })
	return w, func(n uint64) []byte { return seal(w.card, n) }
}

func TestDownload(t *testing.T) {
	t.Parallel()
	w, seal := withCard(t)
	r := w.download(t, newOrder(t, iccid, seal(11)))
	require.NotNil(t, r.Data.Success, "%v", w.chip.InstallError())
	require.Equal(t, []byte{0x30, 7, 0xA0, 5, 0x30, 3, 0x80, 1, 0}, r.Data.Success.SIMAResponse)
	require.Equal(t, rsp.OID(rsptest.SMDPOID), *r.Data.SMDPOID)
	require.Equal(t, address, r.Data.Notification.Address)
	require.Equal(t, iccid, *r.Data.Notification.ICCID)
	require.NoError(t, w.chip.InstallError())

	list := w.chip.Profiles()
	require.Len(t, list, 1)
	require.Equal(t, uint64(11), list[0].IoT.ID)
	_, ok := w.card.Current()
	require.False(t, ok, "a profile is installed disabled")

	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	p, ok := w.card.Current()
	require.True(t, ok)
	require.Equal(t, uint64(11), p.ID)
}

func TestDownloadKinds(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("profile "), 12<<10)
	for name, change := range map[string]func(*world, *order){
		"as it comes":               func(*world, *order) {},
		"protected beforehand":      func(_ *world, o *order) { o.keys = &bsp.Keys{MCV: [16]byte{1}, SEnc: [16]byte{2}, SMac: [16]byte{3}} },
		"120 bytes at a time":       func(w *world, _ *order) { w.chunk = 120 },
		"6 bytes at a time":         func(w *world, _ *order) { w.chunk = 6 },
		"extended length":           func(w *world, _ *order) { w.chunk = 1100 },
		"nobody to be told":         func(_ *world, o *order) { o.metadata.Notifications = nil },
		"96 KiB":                    func(_ *world, o *order) { *o = newOrder(t, iccid, big) },
		"metadata of several parts": func(_ *world, o *order) { o.metadata.Icon = make([]byte, 1024) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, o := newWorld(t), newOrder(t, iccid, []byte("opaque"))
			change(w, &o)
			w.install(t, o)
		})
	}
}

func TestDownloadByPublishedCertificates(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, rsptest.SGP26(t), rsptest.SGP26EUICC(t))
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "data", "ts48", "*.der"))
	require.NoError(t, err)
	if len(files) == 0 {
		t.Skip("shared/data has no profile packages here")
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		elements, err := rsp.ProfileElements(b)
		require.NoError(t, err)
		header, err := rsp.Decode[rsp.ProfileHeader](elements[0].Raw)
		require.NoError(t, err)
		w.install(t, order{profile: b, metadata: rsp.StoreMetadataRequest{ICCID: header.ICCID, ServiceProvider: "GSMA", ProfileName: "TS.48"}})
		require.Equal(t, rsp.ProfileOK, w.enable(t, header.ICCID))
		require.Equal(t, rsp.ProfileOK, w.disable(t, header.ICCID))
		require.Equal(t, rsp.ProfileOK, w.remove(t, header.ICCID)) // they may have the same number
	}
}

func TestSealedProfiles(t *testing.T) {
	t.Parallel()
	w, seal := withCard(t)
	other, _ := sealer(t)
	w.install(t, newOrder(t, iccid, seal(11)))
	for _, c := range []struct {
		rule    string
		content []byte
		want    error
	}{
		{"not newer than one that was taken", seal(11), profile.ErrReplayed},
		{"for another card", func() []byte { s, _ := sealer(t); return s(newCard(t), 16) }(), profile.ErrInvalid},
		{"signed by another registry", other(w.card, 16), profile.ErrInvalid},
		{"not a sealed profile", []byte("x"), profile.ErrMalformed},
	} {
		r := w.download(t, newOrder(t, second, c.content))
		require.Equal(t, "5/12", failure(r), c.rule)
		require.Equal(t, []byte{0x30, 7, 0xA0, 5, 0x30, 3, 0x80, 1, 3}, r.Data.Error.SIMAResponse, c.rule)
		require.ErrorIs(t, w.chip.InstallError(), euicc.ErrElement, c.rule)
		t.Log(w.chip.InstallError())
		require.Len(t, w.chip.Profiles(), 1, c.rule)
		require.Equal(t, uint64(11), w.card.Newest(), c.rule)
	}
	twice := newOrder(t, second, seal(16))
	var err error
	twice.profile, err = rsp.InsertNonStandard(twice.profile, issuer, seal(17))
	require.NoError(t, err)
	require.Equal(t, "5/12", failure(w.download(t, twice)), "two sealed profiles in one")
}

// The IoT profile in use is that of the operator's profile in use; of it and one
// that came to the card directly, the newer.
func TestCardFollows(t *testing.T) {
	t.Parallel()
	w, seal := withCard(t)
	current := func() uint64 {
		if p, ok := w.card.Current(); ok {
			return p.ID
		}
		return 0
	}
	w.install(t, newOrder(t, iccid, seal(11)))
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	w.install(t, newOrder(t, second, seal(16)))
	require.Equal(t, uint64(11), current(), "installed is not enabled")
	require.Equal(t, uint64(16), w.card.Newest())
	require.Equal(t, rsp.ProfileOK, w.enable(t, second))
	require.Equal(t, uint64(16), current())
	require.Equal(t, rsp.ProfileOK, w.disable(t, second))
	require.Zero(t, current())
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	require.Equal(t, uint64(11), current(), "who enables an older one has it")
	require.Equal(t, rsp.ProfileOK, w.enable(t, second))
	require.Equal(t, rsp.ProfileOK, w.remove(t, iccid))
	require.Equal(t, uint64(16), current())
	require.Equal(t, rsp.ProfileOK, w.disable(t, second))
	require.Equal(t, rsp.ProfileOK, w.remove(t, second))
	require.Zero(t, current())
	require.Equal(t, "5/12", failure(w.download(t, newOrder(t, second, seal(16)))), "deleted, not forgotten")

}

func TestDirectAndEnabled(t *testing.T) {
	t.Parallel()
	seal, trust := sealer(t)
	w := newWorld(t, func(c *euicc.ChipConfig) { c.Card, c.Issuer, c.Trust = newCard(t), issuer, trust })
	w.install(t, newOrder(t, iccid, seal(w.card, 11)))
	_, err := w.card.Install(seal(w.card, 12), trust)
	require.NoError(t, err)
	require.Equal(t, rsp.ProfileOK, w.enable(t, iccid))
	p, _ := w.card.Current()
	require.Equal(t, uint64(12), p.ID)
	w.install(t, newOrder(t, second, seal(w.card, 16)))
	require.Equal(t, rsp.ProfileOK, w.enable(t, second))
	p, _ = w.card.Current()
	require.Equal(t, uint64(16), p.ID)
	require.Equal(t, rsp.ProfileOK, w.disable(t, second))
	p, _ = w.card.Current()
	require.Equal(t, uint64(12), p.ID)
}

// A profile that reaches the card while another is being judged.
func TestOvertakenInstall(t *testing.T) {
	t.Parallel()
	seal, trust := sealer(t)
	card := newCard(t)
	overtake := func(chain []*x509.Certificate) error {
		if _, err := card.Install(seal(card, 16), trust); err != nil {
			return err
		}
		return trust(chain)
	}
	w := newWorld(t, func(c *euicc.ChipConfig) { c.Card, c.Issuer, c.Trust = card, issuer, overtake })
	require.Equal(t, "5/12", failure(w.download(t, newOrder(t, iccid, seal(card, 11)))))
	require.ErrorIs(t, w.chip.InstallError(), profile.ErrReplayed)
	require.Empty(t, w.chip.Profiles())
}

func TestNewChipWantsItsParts(t *testing.T) {
	t.Parallel()
	pki, err := rsptest.New(start())
	require.NoError(t, err)
	own, err := pki.EUICC(rsptest.EID)
	require.NoError(t, err)
	other, err := pki.EUICC(rsptest.EID)
	require.NoError(t, err)
	card := newCard(t)
	for name, change := range map[string]func(*euicc.ChipConfig){
		"no EID":            func(c *euicc.ChipConfig) { c.EID = eid.ID{} },
		"a decimal ID":      func(c *euicc.ChipConfig) { c.EID = id },
		"no key":            func(c *euicc.ChipConfig) { c.Key = nil },
		"another's key":     func(c *euicc.ChipConfig) { c.Key = other.Key },
		"no certificate":    func(c *euicc.ChipConfig) { c.Certificate = nil },
		"a bad certificate": func(c *euicc.ChipConfig) { c.Certificate = []byte{0x30} },
		"a bad EUM":         func(c *euicc.ChipConfig) { c.EUM = []byte{0x30} },
		"another EUM":       func(c *euicc.ChipConfig) { c.EUM = pki.CI.DER },
		"no CI":             func(c *euicc.ChipConfig) { c.CIs = nil },
		"a bad CI":          func(c *euicc.ChipConfig) { c.CIs = [][]byte{{0x30}} },
		"too many CIs": func(c *euicc.ChipConfig) {
			c.CIs = make([][]byte, 40)
			for i := range c.CIs {
				c.CIs[i] = pki.CI.DER
			}
		},
		"another EID":         func(c *euicc.ChipConfig) { c.EID = eid.MustParse("89049032000000000000000000000066") },
		"a long address":      func(c *euicc.ChipConfig) { c.DefaultSMDP = strings.Repeat("a", 300) },
		"negative memory":     func(c *euicc.ChipConfig) { c.Memory = -1 },
		"too many profiles":   func(c *euicc.ChipConfig) { c.MaxProfiles = 257 },
		"card without trust":  func(c *euicc.ChipConfig) { c.Card, c.Issuer = card, issuer },
		"card without issuer": func(c *euicc.ChipConfig) { c.Card, c.Trust = card, func([]*x509.Certificate) error { return nil } },
	} {
		cfg := config(pki, own)
		change(&cfg)
		_, err := euicc.NewChip(cfg)
		require.ErrorIs(t, err, euicc.ErrConfig, name)
	}
	chip, err := euicc.NewChip(config(pki, own))
	require.NoError(t, err)
	require.Equal(t, rsptest.EID, chip.EID().String())
	require.Equal(t, euicc.DefaultMemory, chip.Free())
}
