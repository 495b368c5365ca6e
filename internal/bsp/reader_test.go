package bsp_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/bsp"
)

// refused feeds a new reader and demands that it refuses for good.
func refused(t testing.TB, list [][]byte, name string) error {
	r := newReader(t, 0)
	done, err := feed(r, list)
	require.False(t, done, name)
	require.Error(t, err, name)
	require.Nil(t, r.Profile(), name)
	require.Nil(t, r.Metadata(), name)
	_, again := r.Feed(list[0])
	require.Equal(t, err, again, "%s: for good", name)
	return err
}

func TestEveryChangedByteOfAPackageIsRefused(t *testing.T) {
	t.Parallel()
	for _, withKeys := range []bool{false, true} {
		b := binding(t)
		if withKeys {
			b.ProfileKeys = ppk()
		}
		pkg := bind(t, b, bytesOf(150))
		list := segments(t, pkg)
		for i := range pkg {
			changed := bytes.Clone(pkg)
			changed[i] ^= 1 << (i % 8)
			refused(t, [][]byte{changed}, "all at once")
			// The same change where the LPA has cut the right package.
			at, cut := 0, make([][]byte, 0, len(list))
			for _, s := range list {
				cut = append(cut, changed[at:at+len(s)])
				at += len(s)
			}
			refused(t, cut, "in segments")
		}
	}
}

func TestSegmentsOutOfPlace(t *testing.T) {
	t.Parallel()
	b := binding(t)
	b.Metadata = bertlv.Append(nil, 0xBF25, bertlv.Append(nil, 0x94, bytesOf(1500)))
	l := segments(t, bind(t, b, bytesOf(3000))) // BF36+BF23, A0, A1, 88, 88, A3, 86, 86, 86
	require.Len(t, l, 9)
	pick := func(order ...int) (list [][]byte) {
		for _, i := range order {
			list = append(list, l[i])
		}
		return list
	}
	meta, load := bsp.StoreMetadata, bsp.LoadProfileElements
	for name, c := range map[string]struct {
		list    [][]byte
		command bsp.Command
		reason  bsp.Reason
	}{
		"profile blocks swapped":       {pick(0, 1, 2, 3, 4, 5, 7, 6, 8), load, bsp.SecurityError},
		"a profile block repeated":     {pick(0, 1, 2, 3, 4, 5, 6, 6), load, bsp.SecurityError},
		"a profile block dropped":      {pick(0, 1, 2, 3, 4, 5, 6, 8), load, bsp.SecurityError},
		"metadata swapped":             {pick(0, 1, 2, 4), meta, bsp.SecurityError},
		"metadata dropped":             {pick(0, 1, 2, 3, 5), meta, bsp.StructureError},
		"the channel opened twice":     {pick(0, 0), bsp.ConfigureISDP, bsp.StructureError},
		"ConfigureISDP dropped":        {pick(0, 2), bsp.ConfigureISDP, bsp.StructureError},
		"ConfigureISDP twice":          {pick(0, 1, 1), meta, bsp.StructureError},
		"profile before metadata":      {pick(0, 1, 5), meta, bsp.StructureError},
		"blocks without a header":      {pick(0, 1, 3), meta, bsp.StructureError},
		"a header twice":               {pick(0, 1, 2, 2), meta, bsp.StructureError},
		"the channel dropped":          {pick(1), bsp.InitialiseSecureChannel, bsp.IncorrectInput},
		"an empty command":             {[][]byte{l[0], nil}, bsp.ConfigureISDP, bsp.StructureError},
		"an empty first command":       {[][]byte{nil}, bsp.InitialiseSecureChannel, bsp.IncorrectInput},
		"half a block":                 {append(pick(0, 1, 2, 3, 4, 5), l[6][:500]), load, bsp.StructureError},
		"a byte after the package":     {append(pick(0, 1, 2, 3, 4, 5, 6, 7), append(bytes.Clone(l[8]), 0)), load, bsp.StructureError},
		"a block after the package":    {append(pick(0, 1, 2, 3, 4, 5, 6, 7), slices.Concat(l[8], l[8])), load, bsp.StructureError},
		"the header of BF36 cut short": {[][]byte{l[0][:4]}, bsp.InitialiseSecureChannel, bsp.IncorrectInput},
	} {
		requireRefusal(t, refused(t, c.list, name), c.command, c.reason, nil, name)
	}
	done, err := feed(newReader(t, 0), l[:8])
	require.NoError(t, err)
	require.False(t, done, "the last segment is missing: not done")
}

// Lengths outside of the blocks are nobody's secret: an attacker fits them.
func TestRepackedPackages(t *testing.T) {
	t.Parallel()
	b := binding(t)
	b.ProfileKeys = ppk()
	b.Metadata = bertlv.Append(nil, 0xBF25, bertlv.Append(nil, 0x94, bytesOf(1500)))
	p := parts(t, bind(t, b, bytesOf(2500)))
	other := b
	other.Key = p256(t, sequence(0x11, 32))
	q := parts(t, bind(t, other, bytesOf(2500)))
	bf23, a0, a1, a2, a3 := p[0xBF23].Raw, p[0xA0].Raw, p[0xA1].Raw, p[0xA2].Raw, p[0xA3].Raw
	b88, b86 := blocks(t, p[0xA1]), blocks(t, p[0xA3])
	load := bsp.LoadProfileElements
	for name, c := range map[string]struct {
		pkg     []byte
		command bsp.Command
		reason  bsp.Reason
	}{
		"new keys left out":                   {repack(bf23, a0, a1, a3), load, bsp.SecurityError},
		"the last of the metadata left out":   {repack(bf23, a0, bertlv.Append(nil, 0xA1, b88[0]), a2, a3), bsp.StoreMetadata, bsp.IncorrectInput},
		"the first of the profile left out":   {repack(bf23, a0, a1, a2, bertlv.Append(nil, 0xA3, b86[1:]...)), load, bsp.SecurityError},
		"one of the profile repeated":         {repack(bf23, a0, a1, a2, bertlv.Append(nil, 0xA3, b86[0], b86[0], b86[1], b86[2])), load, bsp.SecurityError},
		"one more block at the end":           {repack(bf23, a0, a1, a2, bertlv.Append(nil, 0xA3, append(b86, b86[2])...)), load, bsp.SecurityError},
		"no profile":                          {repack(bf23, a0, a1, a2, bertlv.Append(nil, 0xA3)), load, bsp.StructureError},
		"no sequence of the profile":          {repack(bf23, a0, a1, a2), bsp.ReplaceSessionKeys, bsp.StructureError},
		"no metadata":                         {repack(bf23, a0, bertlv.Append(nil, 0xA1), a2, a3), bsp.StoreMetadata, bsp.StructureError},
		"two ConfigureISDP":                   {repack(bf23, bertlv.Append(nil, 0xA0, p[0xA0].Value, p[0xA0].Value), a1, a2, a3), bsp.ConfigureISDP, bsp.StructureError},
		"an object more":                      {repack(bf23, a0, a1, a2, a3, []byte{0xA4, 0}), load, bsp.StructureError},
		"nothing but the channel":             {repack(bf23), bsp.InitialiseSecureChannel, bsp.IncorrectInput},
		"another session's channel":           {repack(q[0xBF23].Raw, a0, a1, a2, a3), bsp.ConfigureISDP, bsp.SecurityError},
		"another session's metadata":          {repack(bf23, a0, q[0xA1].Raw, a2, a3), bsp.StoreMetadata, bsp.SecurityError},
		"another session's keys":              {repack(bf23, a0, a1, q[0xA2].Raw, a3), bsp.ReplaceSessionKeys, bsp.SecurityError},
		"a signature with something after it": {repack(bertlv.Append(nil, 0xBF23, p[0xBF23].Value, []byte{0x83, 0}), a0, a1, a2, a3), bsp.InitialiseSecureChannel, bsp.IncorrectInput},
	} {
		requireRefusal(t, refused(t, [][]byte{c.pkg}, name), c.command, c.reason, nil, name)
	}
	// What no MAC can show, and the package's comment warns of.
	r := newReader(t, 0)
	done, err := r.Feed(repack(bf23, a0, a1, a2, bertlv.Append(nil, 0xA3, b86[:2]...)))
	require.NoError(t, err)
	require.True(t, done)
	require.Equal(t, bytesOf(2014), r.Profile(), "cut short between two blocks: PE-End is missing")
}

func TestAnotherSession(t *testing.T) {
	t.Parallel()
	channel, config := bsp.InitialiseSecureChannel, bsp.ConfigureISDP
	for name, c := range map[string]struct {
		bind    func(*bsp.Binding)
		read    func(*bsp.Session)
		command bsp.Command
		reason  bsp.Reason
	}{
		"another EID":            {read: func(s *bsp.Session) { s.EID[15] ^= 1 }, command: config, reason: bsp.SecurityError},
		"another transaction ID": {read: func(s *bsp.Session) { s.TransactionID = sequence(0xA1, 16) }, command: channel, reason: bsp.InvalidTransaction},
		"a shorter one":          {read: func(s *bsp.Session) { s.TransactionID = txID()[:15] }, command: channel, reason: bsp.InvalidTransaction},
		"another otPK.EUICC":     {read: func(s *bsp.Session) { s.Key = smdpKey(t) }, command: channel, reason: bsp.InvalidSignature},
		"another signer":         {read: func(s *bsp.Session) { s.Verify = func([]byte, []byte) error { return bsp.ErrSignature } }, command: channel, reason: bsp.InvalidSignature},
	} {
		b, s := binding(t), session(t)
		if c.bind != nil {
			c.bind(&b)
		}
		c.read(&s)
		r, err := bsp.NewReader(s)
		require.NoError(t, err)
		_, err = feed(r, segments(t, bind(t, b, bytesOf(10))))
		requireRefusal(t, err, c.command, c.reason, nil, name)
	}
	keys, err := bsp.DeriveKeys(smdpKey(t), unhex(t, euiccPoint), []byte("another-h"), testEID(t))
	require.NoError(t, err)
	_, err = bsp.NewOpener(keys).Open(nil, chainOf(t, false)[0])
	requireRefusal(t, err, config, bsp.SecurityError, bsp.ErrMAC, "another host ID")
}

// A signature that fits does not excuse what it is over.
func TestChannelRequestsUnderAGoodSignature(t *testing.T) {
	t.Parallel()
	point := bertlv.Append(nil, 0x5F49, smdpKey(t).PublicKey().Bytes())
	off := bytes.Clone(point)
	off[len(off)-1] ^= 1
	tx := bertlv.Append(nil, 0x80, txID())
	crt := unhex(t, "a6 0a 80 01 88 81 01 10 84 02 0102")
	for name, c := range map[string]struct {
		members []byte
		reason  bsp.Reason
	}{
		"another operation":      {slices.Concat(unhex(t, "82 01 02"), tx, crt, point), bsp.UnsupportedRemoteOp},
		"another kind of key":    {slices.Concat(unhex(t, "82 01 01"), tx, unhex(t, "a6 0a 80 01 89 81 01 10 84 02 0102"), point), bsp.UnsupportedCRT},
		"AES-256":                {slices.Concat(unhex(t, "82 01 01"), tx, unhex(t, "a6 0a 80 01 88 81 01 20 84 02 0102"), point), bsp.UnsupportedCRT},
		"no host ID":             {slices.Concat(unhex(t, "82 01 01"), tx, unhex(t, "a6 06 80 01 88 81 01 10"), point), bsp.IncorrectInput},
		"an empty host ID":       {slices.Concat(unhex(t, "82 01 01"), tx, unhex(t, "a6 08 80 01 88 81 01 10 84 00"), point), bsp.UnsupportedCRT},
		"a point off the curve":  {slices.Concat(unhex(t, "82 01 01"), tx, crt, off), bsp.IncorrectInput},
		"otPK of 61 bytes":       {slices.Concat(unhex(t, "82 01 01"), tx, crt, bertlv.Append(nil, 0x5F49, point[3:64])), bsp.IncorrectInput},
		"members in other order": {slices.Concat(tx, unhex(t, "82 01 01"), crt, point), bsp.IncorrectInput},
		"a member missing":       {slices.Concat(unhex(t, "82 01 01"), tx, point), bsp.IncorrectInput},
	} {
		signature, err := bsp.Sign(nil, signer(t), bertlv.Append(bytes.Clone(c.members), 0x5F49, euiccKey(t).PublicKey().Bytes()))
		require.NoError(t, err)
		bf23 := bertlv.Append(nil, 0xBF23, c.members, bertlv.Append(nil, 0x5F37, signature))
		err = refused(t, [][]byte{repack(bf23, []byte{0xA0, 0})}, name)
		requireRefusal(t, err, bsp.InitialiseSecureChannel, c.reason, nil, name)
		err = refused(t, [][]byte{repack(bertlv.Append(nil, 0xBF23, c.members, bertlv.Append(nil, 0x5F37, signature[:63])), []byte{0xA0, 0})}, name)
		require.Error(t, err)
	}
}

func TestReaderLimits(t *testing.T) {
	t.Parallel()
	pkg := bind(t, binding(t), bytesOf(3000))
	r := newReader(t, 3000)
	done, err := feed(r, segments(t, pkg))
	require.NoError(t, err)
	require.True(t, done)
	_, err = feed(newReader(t, 2999), segments(t, pkg))
	requireRefusal(t, err, bsp.LoadProfileElements, bsp.InsufficientMemory, bsp.ErrSize, "one byte too many")
	_, err = newReader(t, 0).Feed(bertlv.AppendHeader(nil, 0xBF36, 1<<23))
	requireRefusal(t, err, bsp.InitialiseSecureChannel, bsp.InsufficientMemory, bsp.ErrSize, "announced")
	for _, head := range []string{"", "bf", "bf36", "bf3680", "bf3681", "bf36817f", "bf3685", "bf3684ffffffff", "bf3684000001ff", "bf37820100"} {
		_, err = newReader(t, 0).Feed(unhex(t, head))
		requireRefusal(t, err, bsp.InitialiseSecureChannel, bsp.IncorrectInput, bsp.ErrStructure, head)
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	list := segments(t, bind(t, binding(t), bytesOf(10)))
	r := newReader(t, 0)
	_, err := feed(r, list[:3])
	require.NoError(t, err)
	require.Nil(t, r.Metadata(), "not complete")
	_, err = r.Feed(list[3])
	require.NoError(t, err)
	require.Equal(t, unhex(t, metadata), r.Metadata())
	failed := r.Abort(bsp.StoreMetadata, bsp.ICCIDExists)
	requireRefusal(t, failed, bsp.StoreMetadata, bsp.ICCIDExists, bsp.ErrAborted, "aborted")
	_, err = r.Feed(list[4])
	require.Equal(t, error(failed), err)
	require.Equal(t, failed, r.Abort(bsp.LoadProfileElements, bsp.UndefinedError), "the first reason stays")
	require.Equal(t, "bsp: StoreMetadata failed with reason 9: aborted by the caller", failed.Error())
	require.Equal(t, "Command(9)", bsp.Command(9).String())
	names := map[string]bool{}
	for c := bsp.InitialiseSecureChannel; c <= bsp.LoadProfileElements; c++ {
		names[c.String()] = true
	}
	require.Len(t, names, 5)
}

func TestSegmentsRefuses(t *testing.T) {
	t.Parallel()
	pkg := bind(t, binding(t), bytesOf(10))
	p := parts(t, pkg)
	bf23, a0, a1, a3 := p[0xBF23].Raw, p[0xA0].Raw, p[0xA1].Raw, p[0xA3].Raw
	for name, in := range map[string][]byte{
		"nothing":                 nil,
		"another object":          bertlv.Append(nil, 0xBF37, bf23),
		"bytes follow":            append(bytes.Clone(pkg), 0),
		"cut short":               pkg[:len(pkg)-1],
		"no channel":              repack(a0, a1, a3),
		"other order":             repack(bf23, a1, a0, a3),
		"a part missing":          repack(bf23, a0, a3),
		"a part too many":         repack(bf23, a0, a1, a3, a3, a3),
		"primitive content":       repack([]byte{0x04, 0}, a0, a1, a3),
		"a block of another kind": repack(bf23, a0, a1, bertlv.Append(nil, 0xA3, p[0xA1].Value)),
		"noise in a sequence":     repack(bf23, a0, a1, []byte{0xA3, 1, 0x86}),
		"noise outside":           {0xBF, 0x36, 1, 0xBF},
	} {
		_, err := bsp.Segments(in)
		require.ErrorIs(t, err, bsp.ErrStructure, name)
	}
}

// As osmo-smdpp fills blocks: 1008 bytes, which makes segments of 1036.
func TestReaderAcceptsLongSegments(t *testing.T) {
	t.Parallel()
	keys, err := bsp.DeriveKeys(smdpKey(t), euiccKey(t).PublicKey().Bytes(), []byte(hostID), testEID(t))
	require.NoError(t, err)
	f := &forger{keys: keys}
	p := parts(t, bind(t, binding(t), []byte{1}))
	a0 := bertlv.Append(nil, 0xA0, f.block(t, bsp.TagCommand, pad(unhex(t, "bf2400"))))
	require.Equal(t, p[0xA0].Raw, a0)
	a1 := bertlv.Append(nil, 0xA1, f.block(t, bsp.TagMetadata, unhex(t, metadata)))
	profile := bytesOf(2500)
	a3 := bertlv.Append(nil, 0xA3, f.block(t, bsp.TagProfile, pad(profile[:1008])),
		f.block(t, bsp.TagProfile, pad(profile[1008:2016])), f.block(t, bsp.TagProfile, pad(profile[2016:])))
	list := segments(t, repack(p[0xBF23].Raw, a0, a1, a3))
	require.Len(t, list[5], bsp.MaxAccepted)
	r := newReader(t, 0)
	done, err := feed(r, list)
	require.NoError(t, err)
	require.True(t, done)
	require.Equal(t, profile, r.Profile())
}
