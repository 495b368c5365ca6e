package bsp_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/bsp"
)

func sessionKeys(t testing.TB) bsp.Keys {
	keys, err := bsp.DeriveKeys(smdpKey(t), unhex(t, euiccPoint), []byte(hostID), testEID(t))
	require.NoError(t, err)
	return keys
}

func TestKnownBlocks(t *testing.T) {
	t.Parallel()
	s, o := bsp.NewSealer(sessionKeys(t)), bsp.NewOpener(sessionKeys(t))
	for _, c := range []struct {
		tag         bertlv.Tag
		plain, want string
	}{
		{bsp.TagCommand, "bf2400", "8718bc43d09ef085954b55e4acdbb87b6649813b5db57a02d5c9"},
		{bsp.TagMetadata, metadata, "883a" + metadata + "828551c5821b722d"},
	} {
		block, err := s.Seal(nil, c.tag, unhex(t, c.plain))
		require.NoError(t, err)
		require.Equal(t, c.want, hex.EncodeToString(block))
		plain, err := o.Open([]byte{0xFF}, block)
		require.NoError(t, err)
		require.Equal(t, "ff"+c.plain, hex.EncodeToString(plain), "appended")
	}
}

// chainOf seals one block of each kind, with or without new keys.
func chainOf(t testing.TB, withKeys bool) [][]byte {
	s := bsp.NewSealer(sessionKeys(t))
	var list [][]byte
	seal := func(tag bertlv.Tag, data []byte) {
		b, err := s.Seal(nil, tag, data)
		require.NoError(t, err)
		list = append(list, b)
	}
	seal(bsp.TagCommand, unhex(t, "bf2400"))
	seal(bsp.TagMetadata, bytesOf(40))
	seal(bsp.TagMetadata, bytesOf(41))
	if withKeys {
		b, err := s.ReplaceKeys(nil, *ppk())
		require.NoError(t, err)
		list = append(list, b)
	}
	seal(bsp.TagProfile, bytesOf(50))
	seal(bsp.TagProfile, bytesOf(51))
	return list
}

func openAll(o *bsp.Opener, list [][]byte) (int, error) {
	for i, b := range list {
		if _, err := o.Open(nil, b); err != nil {
			return i, err
		}
	}
	return len(list), nil
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	t.Parallel()
	for _, withKeys := range []bool{false, true} {
		list := chainOf(t, withKeys)
		n, err := openAll(bsp.NewOpener(sessionKeys(t)), list)
		require.NoError(t, err)
		require.Equal(t, len(list), n)
		for at, block := range list {
			for i := range block {
				changed := bytes.Clone(block)
				changed[i] ^= 1 << (i % 8)
				attack := append([][]byte{}, list...)
				attack[at] = changed
				o := bsp.NewOpener(sessionKeys(t))
				n, err := openAll(o, attack)
				require.Equal(t, at, n, "block %d byte %d", at, i)
				var e *bsp.Error
				require.ErrorAs(t, err, &e)
				require.Contains(t, []bsp.Reason{bsp.StructureError, bsp.SecurityError}, e.Reason)
				if i > 2 {
					require.ErrorIs(t, err, bsp.ErrMAC)
				}
				_, again := o.Open(nil, block)
				require.Equal(t, err, again, "for good: the right block comes too late")
			}
		}
	}
}

func TestChainedBlocksKeepTheirPlaces(t *testing.T) {
	t.Parallel()
	l := chainOf(t, true) // 87 88 88 87 86 86
	for name, c := range map[string]struct {
		list [][]byte
		at   int
		want bsp.Reason
	}{
		"metadata swapped":           {[][]byte{l[0], l[2]}, 1, bsp.SecurityError},
		"metadata repeated":          {[][]byte{l[0], l[1], l[1]}, 2, bsp.SecurityError},
		"metadata dropped":           {[][]byte{l[0], l[1], l[3]}, 2, bsp.SecurityError},
		"no metadata":                {[][]byte{l[0], l[3]}, 1, bsp.StructureError},
		"no command at first":        {[][]byte{l[1]}, 0, bsp.StructureError},
		"command repeated":           {[][]byte{l[0], l[0]}, 1, bsp.StructureError},
		"new keys twice":             {[][]byte{l[0], l[1], l[2], l[3], l[3]}, 4, bsp.StructureError},
		"new keys left out":          {[][]byte{l[0], l[1], l[2], l[4]}, 3, bsp.SecurityError},
		"profile swapped":            {[][]byte{l[0], l[1], l[2], l[3], l[5]}, 4, bsp.SecurityError},
		"profile repeated":           {[][]byte{l[0], l[1], l[2], l[3], l[4], l[4]}, 5, bsp.SecurityError},
		"profile before metadata":    {[][]byte{l[0], l[4]}, 1, bsp.StructureError},
		"metadata after the profile": {[][]byte{l[0], l[1], l[2], l[3], l[4], l[2]}, 5, bsp.StructureError},
		"an unknown block":           {[][]byte{{0x85, 9, 1, 1, 2, 3, 4, 5, 6, 7, 8}}, 0, bsp.StructureError},
		"nothing":                    {[][]byte{nil}, 0, bsp.StructureError},
		"a tag alone":                {[][]byte{{0x87}}, 0, bsp.StructureError},
		"a block cut short":          {[][]byte{l[0][:20]}, 0, bsp.StructureError},
		"a block and a byte":         {[][]byte{append(bytes.Clone(l[0]), 0)}, 0, bsp.StructureError},
		"a MAC and nothing else":     {[][]byte{l[0], {0x88, 8, 1, 2, 3, 4, 5, 6, 7, 8}}, 1, bsp.StructureError},
		"less than a MAC":            {[][]byte{{0x87, 2, 1, 2}}, 0, bsp.StructureError},
		"half an AES block":          {[][]byte{bertlv.Append(nil, bsp.TagCommand, make([]byte, 24+8))}, 0, bsp.StructureError},
		"longer than any":            {[][]byte{bertlv.Append(nil, bsp.TagCommand, make([]byte, 1040+8))}, 0, bsp.StructureError},
		"a length in a long form":    {[][]byte{append([]byte{0x87, 0x81, 0x18}, l[0][2:]...)}, 0, bsp.StructureError},
	} {
		n, err := openAll(bsp.NewOpener(sessionKeys(t)), c.list)
		require.Equal(t, c.at, n, name)
		var e *bsp.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, c.want, e.Reason, "%s: %v", name, err)
	}
}

func TestBadPaddingUnderAGoodMAC(t *testing.T) {
	t.Parallel()
	ones := bytes.Repeat([]byte{1}, 15)
	for name, plain := range map[string][]byte{
		"no padding":              append(ones, 1),
		"zeros only":              make([]byte, 32),
		"more than one AES block": append(append(ones, 0x80), make([]byte, 16)...),
		"nothing but padding":     pad(nil),
		"another byte than 80":    append(ones, 0x81),
		"something after the 80":  append(ones[:14:14], 0x80, 1),
	} {
		f := &forger{keys: sessionKeys(t)}
		_, err := bsp.NewOpener(sessionKeys(t)).Open(nil, f.block(t, bsp.TagCommand, plain))
		requireRefusal(t, err, bsp.ConfigureISDP, bsp.SecurityError, bsp.ErrPadding, name)
	}
}

// The counter is in the ciphertext alone: a wrong one leaves the MAC right, and
// the first AES block comes out as noise.
func TestWrongCounter(t *testing.T) {
	t.Parallel()
	f := &forger{keys: sessionKeys(t), n: 1}
	plain, err := bsp.NewOpener(sessionKeys(t)).Open(nil, f.block(t, bsp.TagCommand, pad(bytesOf(20))))
	require.NoError(t, err)
	require.NotEqual(t, bytesOf(20)[:16], plain[:16])
	require.Equal(t, bytesOf(20)[16:], plain[16:])
	f = &forger{keys: sessionKeys(t), n: 1}
	_, err = bsp.NewOpener(sessionKeys(t)).Open(nil, f.block(t, bsp.TagCommand, pad(unhex(t, "bf2400"))))
	requireRefusal(t, err, bsp.ConfigureISDP, bsp.SecurityError, bsp.ErrPadding, "the padding is in the first AES block")
}

func TestBlockSizes(t *testing.T) {
	t.Parallel()
	for n, size := range map[int]int{1: 26, 15: 26, 16: 42, 111: 2 + 112 + 8, 112: 3 + 128 + 8, 1006: 1020, 1007: 1020} {
		s := bsp.NewSealer(sessionKeys(t))
		b, err := s.Seal(nil, bsp.TagCommand, bytesOf(n))
		require.NoError(t, err)
		require.Len(t, b, size, "%d bytes", n)
		plain, err := bsp.NewOpener(sessionKeys(t)).Open(nil, b)
		require.NoError(t, err)
		require.Equal(t, bytesOf(n), plain)
	}
	s := bsp.NewSealer(sessionKeys(t))
	_, err := s.Seal(nil, bsp.TagCommand, bytesOf(1008))
	require.ErrorIs(t, err, bsp.ErrSize)
	_, err = s.Seal(nil, bsp.TagCommand, nil)
	require.ErrorIs(t, err, bsp.ErrSize)
	_, err = s.Seal(nil, bsp.TagCommand, []byte{1})
	require.NoError(t, err, "a refusal counts nothing")
	b, err := s.Seal(nil, bsp.TagMetadata, bytesOf(bsp.MaxClear))
	require.NoError(t, err)
	require.Len(t, b, bsp.MaxBlock)
	_, err = s.Seal(nil, bsp.TagMetadata, bytesOf(bsp.MaxClear+1))
	require.ErrorIs(t, err, bsp.ErrSize)
}

// There are SM-DP+ that put 1008 bytes into a block.
func TestBlocksOf1036BytesAreOpened(t *testing.T) {
	t.Parallel()
	keys := sessionKeys(t)
	block := (&forger{keys: keys}).block(t, bsp.TagCommand, pad(bytesOf(1008)))
	require.Len(t, block, bsp.MaxAccepted)
	plain, err := bsp.NewOpener(keys).Open(nil, block)
	require.NoError(t, err)
	require.Equal(t, bytesOf(1008), plain)
	plain, err = bsp.NewOpener(keys).Open(block[:0], block)
	require.NoError(t, err, "into the block's own memory")
	require.Equal(t, bytesOf(1008), plain)
}

func TestSealerKeepsTheOrder(t *testing.T) {
	t.Parallel()
	s := bsp.NewSealer(sessionKeys(t))
	try := func(want error, tags ...bertlv.Tag) {
		for _, tag := range tags {
			dst, err := s.Seal([]byte{7}, tag, []byte{1})
			require.ErrorIs(t, err, want, "%v", tag)
			if err != nil {
				require.Equal(t, []byte{7}, dst)
			}
		}
	}
	replace := func(want error) {
		_, err := s.ReplaceKeys(nil, *ppk())
		require.ErrorIs(t, err, want)
	}
	replace(bsp.ErrOrder)
	try(bsp.ErrOrder, bsp.TagMetadata, bsp.TagProfile, 0x85, 0)
	try(nil, bsp.TagCommand)
	replace(bsp.ErrOrder)
	try(bsp.ErrOrder, bsp.TagCommand, bsp.TagProfile)
	try(nil, bsp.TagMetadata, bsp.TagMetadata)
	try(bsp.ErrOrder, bsp.TagCommand)
	replace(nil)
	replace(bsp.ErrOrder)
	try(bsp.ErrOrder, bsp.TagCommand, bsp.TagMetadata)
	try(nil, bsp.TagProfile, bsp.TagProfile)
	try(bsp.ErrOrder, bsp.TagCommand, bsp.TagMetadata)
	replace(bsp.ErrOrder)
	s.Clear()
	try(bsp.ErrClosed, bsp.TagProfile)
	var zero bsp.Sealer
	_, err := zero.Seal(nil, bsp.TagCommand, []byte{1})
	require.ErrorIs(t, err, bsp.ErrClosed)
	var unkeyed bsp.Opener
	_, err = unkeyed.Open(nil, chainOf(t, false)[0])
	require.ErrorIs(t, err, bsp.ErrClosed)
	o := bsp.NewOpener(sessionKeys(t))
	o.Clear()
	_, err = o.Open(nil, chainOf(t, false)[0])
	requireRefusal(t, err, bsp.ConfigureISDP, bsp.UndefinedError, bsp.ErrClosed, "cleared")
}

func TestNewKeysMustBeThreeOf16Bytes(t *testing.T) {
	t.Parallel()
	whole := "80 10 50515253545556575859 5a5b5c5d5e5f 81 10 606162636465666768696a6b6c6d6e6f 82 10 707172737475767778797a7b7c7d7e7f"
	for name, c := range map[string]struct {
		request string
		ok      bool
	}{
		"as it should be":        {"bf26 36 " + whole, true},
		"with an unknown member": {"bf26 39 " + whole + " 83 01 07", true},
		"another request":        {"bf25 36 " + whole, false},
		"no keys":                {"bf26 00", false},
		"a short key":            {"bf26 08 80 01 01 81 00 82 01 01", false},
		"bytes follow":           {"bf26 36 " + whole + "00", false},
	} {
		f, o := &forger{keys: sessionKeys(t)}, bsp.NewOpener(sessionKeys(t))
		n, err := openAll(o, [][]byte{f.block(t, bsp.TagCommand, pad(unhex(t, "bf2400"))), f.block(t, bsp.TagMetadata, []byte{1})})
		require.NoError(t, err, n)
		data, err := o.Open(nil, f.block(t, bsp.TagCommand, pad(unhex(t, c.request))))
		require.Empty(t, data, "keys are not shown")
		if c.ok {
			require.NoError(t, err, name)
			continue
		}
		requireRefusal(t, err, bsp.ReplaceSessionKeys, bsp.IncorrectInput, bsp.ErrStructure, name)
	}
}
