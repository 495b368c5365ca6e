package rsp

import (
	"bytes"

	"github.com/iotregistry/sdk/internal/bertlv"
)

// InstallBoundProfilePackage is the one remote operation there is.
const InstallBoundProfilePackage = 1

// ControlRef is the control reference template of the key agreement.
type ControlRef struct {
	Received
	KeyType byte   // 88: AES
	KeyLen  byte   // 10 (hexadecimal): 16 bytes
	HostID  []byte // 1 to 16 bytes
}

func (m *ControlRef) layout(c *coder) {
	keyType, keyLen := []byte{m.KeyType}, []byte{m.KeyLen}
	c.octets(0x80, &keyType, 1, 1)
	c.octets(0x81, &keyLen, 1, 1)
	c.octets(0x84, &m.HostID, 1, 16)
	if c.err == nil {
		m.KeyType, m.KeyLen = keyType[0], keyLen[0]
	}
}

// InitialiseSecureChannelRequest opens the channel from SM-DP+ to eUICC (ES8+,
// SGP.22 section 5.5.1).
type InitialiseSecureChannelRequest struct {
	Received
	RemoteOperation int // InstallBoundProfilePackage
	TransactionID   TransactionID
	ControlRef      ControlRef
	SMDPOTPK        []byte // one-time key: a point on P-256, 65 bytes
	SMDPSign        []byte // r and s, 64 bytes
}

func (*InitialiseSecureChannelRequest) tag() bertlv.Tag { return 0xBF23 }
func (m *InitialiseSecureChannelRequest) layout(c *coder) {
	m.signedMembers(c)
	c.signature(&m.SMDPSign)
}

func (m *InitialiseSecureChannelRequest) signedMembers(c *coder) {
	code(c, 0x82, &m.RemoteOperation)
	c.transaction(0x80, &m.TransactionID)
	nested(c, 0xA6, &m.ControlRef)
	c.oneTimeKey(&m.SMDPOTPK)
}

// ConfigureISDPRequest is what an SM-DP+ leaves for itself in the profile's
// security domain (ES8+, SGP.22 section 5.5.2).
type ConfigureISDPRequest struct {
	Received
	Proprietary *DPProprietaryData // nil: nothing
}

func (*ConfigureISDPRequest) tag() bertlv.Tag { return 0xBF24 }
func (m *ConfigureISDPRequest) layout(c *coder) {
	optional(c, 0xB8, &m.Proprietary)
}

// DPProprietaryData belongs to the SM-DP+ with this object identifier; the rest
// is in Extra. All of it has at most 128 bytes.
type DPProprietaryData struct {
	Received
	OID OID
}

func (m *DPProprietaryData) layout(c *coder) {
	if c.decoding && len(c.rest)+2 > 128 {
		c.fail("more than 128 bytes")
	}
	c.oid(0x80, &m.OID)
	if !c.decoding && len(c.out)+len(m.Extra)+2 > 128 {
		c.fail("more than 128 bytes")
	}
}

// ReplaceSessionKeysRequest switches to the keys a profile was protected with
// beforehand (ES8+, SGP.22 section 5.5.4). Its members are secrets.
type ReplaceSessionKeysRequest struct {
	Received
	InitialMCV []byte // MAC chaining value, 16 bytes
	PPKEnc     []byte // 16 bytes
	PPKCMAC    []byte // 16 bytes
}

func (*ReplaceSessionKeysRequest) tag() bertlv.Tag { return 0xBF26 }
func (m *ReplaceSessionKeysRequest) layout(c *coder) {
	for i, p := range []*[]byte{&m.InitialMCV, &m.PPKEnc, &m.PPKCMAC} {
		c.octets(0x80+bertlv.Tag(i), p, 16, 16)
	}
}

// String hides the keys.
func (ReplaceSessionKeysRequest) String() string { return "ReplaceSessionKeysRequest(hidden)" }

// GoString hides the keys.
func (m ReplaceSessionKeysRequest) GoString() string { return m.String() }

// Limits of a bound profile package.
const (
	MaxSegment  = 1100 // bytes of a segment with its tag and length; ours have 1020, some servers' 1036
	maxSegments = 4096 // of the profile
	maxFew      = 64   // of everything else
)

// BoundProfilePackage is a profile protected for one eUICC (SGP.22 section
// 2.5.5). Its segments are whole objects, tag and length included, as the MACs
// cover them.
type BoundProfilePackage struct {
	Received
	SecureChannel  InitialiseSecureChannelRequest
	ConfigureISDP  [][]byte // 87: a ConfigureISDPRequest, encrypted
	StoreMetadata  [][]byte // 88: a StoreMetadataRequest, in clear
	ReplaceKeys    [][]byte // 87: a ReplaceSessionKeysRequest, encrypted; nil: none
	ProfilePackage [][]byte // 86: the profile package, encrypted
}

func (*BoundProfilePackage) tag() bertlv.Tag { return 0xBF36 }
func (*BoundProfilePackage) limit() int      { return MaxPackage }
func (m *BoundProfilePackage) layout(c *coder) {
	nested(c, m.SecureChannel.tag(), &m.SecureChannel)
	c.segments(0xA0, 0x87, &m.ConfigureISDP, maxFew)
	c.segments(0xA1, 0x88, &m.StoreMetadata, maxFew)
	if !c.absent(0xA2, m.ReplaceKeys == nil) {
		c.segments(0xA2, 0x87, &m.ReplaceKeys, maxFew)
	}
	c.segments(0xA3, 0x86, &m.ProfilePackage, maxSegments)
}

func (c *coder) segments(tag, element bertlv.Tag, p *[][]byte, most int) {
	c.within(tag, func(c *coder) {
		if c.decoding {
			*p = [][]byte{}
		}
		c.each(len(*p), most, func(i int) {
			if c.decoding {
				*p = append(*p, nil)
			}
			c.raw(element, &(*p)[i], MaxSegment)
		})
	})
}

// Segments cuts the package into the pieces an LPA gives to an eUICC, one
// ES10b.LoadBoundProfilePackage each (SGP.22 section 2.5.5): headers go with
// what follows only where the eUICC wants it whole.
func (m *BoundProfilePackage) Segments() ([][]byte, error) {
	whole, err := Encode(m)
	if err != nil {
		return nil, err
	}
	p, err := Decode[BoundProfilePackage](whole) // Raw of the parts
	if err != nil {
		return nil, err
	}
	outer, err := bertlv.Parse(whole)
	if err != nil {
		return nil, err
	}
	header := whole[:len(whole)-len(outer.Value)]
	pieces := [][]byte{bytes.Join([][]byte{header, p.SecureChannel.Raw}, nil)}
	pieces = append(pieces, bertlv.Append(nil, 0xA0, p.ConfigureISDP...))
	pieces = appendPieces(pieces, 0xA1, p.StoreMetadata)
	if p.ReplaceKeys != nil {
		pieces = append(pieces, bertlv.Append(nil, 0xA2, p.ReplaceKeys...))
	}
	return appendPieces(pieces, 0xA3, p.ProfilePackage), nil
}

// appendPieces appends the header of a list alone, then its elements.
func appendPieces(pieces [][]byte, tag bertlv.Tag, elements [][]byte) [][]byte {
	n := 0
	for _, e := range elements {
		n += len(e)
	}
	return append(append(pieces, bertlv.AppendHeader(nil, tag, n)), elements...)
}
