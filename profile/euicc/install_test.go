package euicc_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/bsp"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/profile/euicc"
)

func point(t testing.TB) []byte {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	require.NoError(t, err)
	return key.PublicKey().Bytes()
}

// What the chip itself finds wrong, by bppCommandId and errorReason.
func TestInstallRefuses(t *testing.T) {
	t.Parallel()
	end, err := rsp.Encode(&rsp.ProfileEnd{Header: rsp.ElementHeader{Mandated: true, ID: 2}})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(t *testing.T, w *world, o *order)
		want   string
		cause  error
	}{
		"signed by another": {func(t *testing.T, w *world, o *order) {
			o.change = func(b *bsp.Binding) { b.Signer = w.pki.DPAuth.Key }
		}, "0/2", bsp.ErrSignature},
		"for another session": {func(t *testing.T, w *world, o *order) {
			o.change = func(b *bsp.Binding) { b.TransactionID = []byte{9} }
		}, "0/3", bsp.ErrSession},
		"for another eUICC": {func(t *testing.T, w *world, o *order) {
			o.change = func(b *bsp.Binding) { b.EID[15] ^= 1 }
		}, "1/8", bsp.ErrMAC},
		"bound to another key": {func(t *testing.T, w *world, o *order) {
			o.change = func(b *bsp.Binding) { b.EUICCKey = point(t) }
		}, "0/2", bsp.ErrSignature},
		"metadata that is none": {func(t *testing.T, w *world, o *order) {
			o.change = func(b *bsp.Binding) { b.Metadata = bertlv.Append(nil, 0xBF25) }
		}, "2/1", euicc.ErrMetadata},
		"an unknown class": {func(t *testing.T, w *world, o *order) {
			class := rsp.ProfileClass(3)
			o.metadata.Class = &class
		}, "2/6", euicc.ErrMetadata},
		"installed already": {func(t *testing.T, w *world, o *order) { w.install(t, *o) }, "2/9", euicc.ErrMetadata},
		"too large": {func(t *testing.T, w *world, o *order) {
			o.profile = newOrder(t, iccid, make([]byte, 600<<10)).profile
		}, "5/10", bsp.ErrSize},
		"one too many": {func(t *testing.T, w *world, o *order) {
			w.install(t, newOrder(t, "8944476500001224166", nil))
			w.install(t, newOrder(t, second, nil))
		}, "2/10", euicc.ErrMemory},
		"not what was shown": {func(t *testing.T, w *world, o *order) {
			shown := o.metadata
			shown.ProfileName = "Harmless"
			b, err := rsp.Encode(&shown)
			require.NoError(t, err)
			o.change = func(*bsp.Binding) { w.chip.ShowMetadata(b) }
		}, "2/13", euicc.ErrMetadata},
		"a rule that is forbidden": {func(t *testing.T, w *world, o *order) {
			rules := rsp.PPR2
			o.metadata.PolicyRules = &rules
		}, "2/15", euicc.ErrMetadata},
		"another number in the header": {func(t *testing.T, w *world, o *order) {
			o.metadata.ICCID = second
		}, "5/13", euicc.ErrElement},
		"cut off before the end": {func(t *testing.T, w *world, o *order) {
			o.profile = bytes.TrimSuffix(o.profile, end)
		}, "5/12", euicc.ErrElement},
		"bytes after the end": {func(t *testing.T, w *world, o *order) { o.profile = append(o.profile, 0x80, 0) }, "5/12", euicc.ErrElement},
		"no elements":         {func(t *testing.T, w *world, o *order) { o.profile = []byte("profile") }, "5/12", euicc.ErrElement},
		"a header that is none": {func(t *testing.T, w *world, o *order) {
			o.profile = append(bertlv.Append(nil, 0xA0), end...)
		}, "5/12", euicc.ErrElement},
		"an element that is none": {func(t *testing.T, w *world, o *order) {
			o.profile = append(bertlv.Append(bytes.TrimSuffix(o.profile, end), 0xA9), end...)
		}, "5/12", euicc.ErrElement},
		"a mandated element of somebody's": {func(t *testing.T, w *world, o *order) {
			e, err := rsp.Encode(&rsp.NonStandard{Header: rsp.ElementHeader{Mandated: true, ID: 2}, Issuer: "2.999.1", Content: nil})
			require.NoError(t, err)
			o.profile = append(append(bytes.TrimSuffix(o.profile, end), e...), end...)
		}, "5/12", euicc.ErrElement},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *euicc.ChipConfig) { c.MaxProfiles, c.ForbidRules = 2, 1<<2 })
			o := newOrder(t, iccid, []byte("opaque"))
			c.change(t, w, &o)
			before := w.chip.Profiles()
			require.Equal(t, c.want, failure(w.download(t, o)))
			require.ErrorIs(t, w.chip.InstallError(), c.cause)
			require.Equal(t, before, w.chip.Profiles())
		})
	}
}

// Whatever happens to segments on their way, nothing is installed.
func TestTamperedSegments(t *testing.T) {
	t.Parallel()
	const metadata, profile, another = 3, 5, 6 // places of segments with blocks
	for name, c := range map[string]struct {
		change func(s [][]byte) [][]byte
		want   string
	}{
		"a block of the profile flipped":  {func(s [][]byte) [][]byte { s[profile][40] ^= 1; return s }, "5/8"},
		"its MAC flipped":                 {func(s [][]byte) [][]byte { s[profile][len(s[profile])-1] ^= 1; return s }, "5/8"},
		"metadata flipped":                {func(s [][]byte) [][]byte { s[metadata][20] ^= 1; return s }, "2/8"},
		"configuration flipped":           {func(s [][]byte) [][]byte { s[1][10] ^= 1; return s }, "1/8"},
		"two blocks swapped":              {func(s [][]byte) [][]byte { s[profile], s[another] = s[another], s[profile]; return s }, "5/8"},
		"a block sent twice":              {func(s [][]byte) [][]byte { s[another] = s[profile]; return s }, "5/8"},
		"a block left out":                {func(s [][]byte) [][]byte { return append(s[:profile:profile], s[another:]...) }, "5/8"},
		"metadata left out":               {func(s [][]byte) [][]byte { return append(s[:metadata:metadata], s[metadata+1:]...) }, "2/7"},
		"the profile before its metadata": {func(s [][]byte) [][]byte { return append(s[:2:2], s[metadata+1:]...) }, "2/7"},
		"no secure channel":               {func(s [][]byte) [][]byte { return s[1:] }, "0/1"},
		"the whole package begins anew":   {func(s [][]byte) [][]byte { return append(s[:4:4], s...) }, "5/7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.bind(t, w.prepare(t, nil), newOrder(t, iccid, make([]byte, 3000)))
			for i := range s {
				s[i] = bytes.Clone(s[i])
			}
			s = c.change(s)
			require.Equal(t, c.want, failure(w.load(t, s)))
			require.Empty(t, w.chip.Profiles())
			require.Error(t, w.chip.InstallError())
			_, err := w.store(t, s[len(s)-1])
			require.ErrorIs(t, err, apdu.ConditionsNotMet, "the session is over")
		})
	}
}

func TestReplayedPackage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.bind(t, w.prepare(t, nil), newOrder(t, iccid, nil))
	require.NotNil(t, w.load(t, s).Data.Success)
	require.Equal(t, rsp.ProfileOK, w.remove(t, iccid))
	_, err := w.store(t, s[0])
	require.ErrorIs(t, err, apdu.ConditionsNotMet, "no session")
	w.prepare(t, nil)
	require.Equal(t, "0/2", failure(w.load(t, s)), "the one-time key is another")
}

func TestMemoryComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *euicc.ChipConfig) { c.Memory = 5000 })
	w.install(t, newOrder(t, iccid, make([]byte, 4000)))
	free := w.chip.Free()
	require.Less(t, free, 1000)
	r := failure(w.download(t, newOrder(t, second, make([]byte, 4000))))
	require.Contains(t, []string{"0/10", "5/10"}, r)
	require.Equal(t, rsp.ProfileOK, w.remove(t, iccid))
	require.Equal(t, 5000, w.chip.Free())
	w.install(t, newOrder(t, second, make([]byte, 4000)))
}

// What was shown holds for one session.
func TestShownMetadata(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := newOrder(t, iccid, nil)
	b, err := rsp.Encode(&o.metadata)
	require.NoError(t, err)
	o.change = func(*bsp.Binding) { w.chip.ShowMetadata(b) }
	w.install(t, o)
	w.install(t, newOrder(t, second, nil))
}

// A profile that tells the whole world of itself does not push out receipts: they
// alone say that a download is done.
func TestReceiptsOutlastOtherNotifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.install(t, newOrder(t, iccid, nil))
	loud := newOrder(t, second, nil)
	loud.metadata.Notifications = nil
	for n := range 64 {
		loud.metadata.Notifications = append(loud.metadata.Notifications, rsp.NotificationConfig{
			Events: rsp.EventInstall | rsp.EventEnable | rsp.EventDisable, Address: fmt.Sprintf("host%d.example.com", n),
		})
	}
	w.install(t, loud)
	for range 2 {
		require.Equal(t, rsp.ProfileOK, w.enable(t, second))
		require.Equal(t, rsp.ProfileOK, w.disable(t, second))
	}
	r := es10[rsp.RetrieveNotificationsResponse](t, w, &rsp.RetrieveNotificationsRequest{})
	require.Len(t, r.List, 64)
	var receipts []rsp.ICCID
	for i, n := range r.List {
		if n.Installation != nil {
			receipts = append(receipts, *n.Installation.Data.Notification.ICCID)
		}
		require.True(t, i == 0 || n.Metadata().SeqNumber > r.List[i-1].Metadata().SeqNumber)
	}
	require.Equal(t, []rsp.ICCID{iccid, second}, receipts)
}
