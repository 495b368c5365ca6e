package bsp

import (
	"fmt"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// Segments cuts a bound profile package into the ES10b.LoadBoundProfilePackage
// commands that an LPA sends one by one (SGP.22 section 2.5.5): the outer header
// with the whole InitialiseSecureChannelRequest; the first sequence of 87; the
// header of the sequence of 88 and each 88; the second sequence of 87, if any;
// the header of the sequence of 86 and each 86. One after the other they are
// the package; they share its memory. Nothing is decrypted or verified. The
// error is [ErrStructure].
func Segments(pkg []byte) ([][]byte, error) {
	outer, rest, err := bertlv.Read(pkg)
	if err != nil {
		return nil, fmt.Errorf("bsp: %w: %w", ErrStructure, err)
	}
	if outer.Tag != tagPackage || len(rest) > 0 {
		return nil, fmt.Errorf("bsp: %w: not one object %v", ErrStructure, tagPackage)
	}
	parts, err := outer.Children()
	if err != nil {
		return nil, fmt.Errorf("bsp: %w: %w", ErrStructure, err)
	}
	want := []bertlv.Tag{tagChannel, tagFirst87, tagAll88, tagSecond87, tagAll86}
	if len(parts) == len(want)-1 {
		want = []bertlv.Tag{tagChannel, tagFirst87, tagAll88, tagAll86}
	}
	if len(parts) != len(want) {
		return nil, fmt.Errorf("bsp: %w: %d parts", ErrStructure, len(parts))
	}
	var list [][]byte
	for i, part := range parts {
		if part.Tag != want[i] {
			return nil, fmt.Errorf("bsp: %w: %v in place of %v", ErrStructure, part.Tag, want[i])
		}
		if list, err = appendSegments(list, outer, part); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func appendSegments(list [][]byte, outer, part bertlv.TLV) ([][]byte, error) {
	if part.Tag == tagChannel {
		n := len(outer.Raw) - len(outer.Value) + len(part.Raw)
		return append(list, outer.Raw[:n:n]), nil
	}
	blocks, err := part.Children()
	if err != nil {
		return nil, fmt.Errorf("bsp: %w: %w", ErrStructure, err)
	}
	want := blockTag(part.Tag)
	for _, block := range blocks {
		if block.Tag != want {
			return nil, fmt.Errorf("bsp: %w: %v has %v in place of %v", ErrStructure, part.Tag, block.Tag, want)
		}
	}
	if want == TagCommand {
		return append(list, part.Raw), nil
	}
	header := len(part.Raw) - len(part.Value)
	list = append(list, part.Raw[:header:header])
	for _, block := range blocks {
		list = append(list, block.Raw)
	}
	return list, nil
}

// blockTag returns the tag of the blocks in a sequence.
func blockTag(sequence bertlv.Tag) bertlv.Tag {
	switch sequence {
	case tagAll88:
		return TagMetadata
	case tagAll86:
		return TagProfile
	}
	return TagCommand
}
