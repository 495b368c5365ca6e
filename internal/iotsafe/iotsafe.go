// Package iotsafe has the words of the GSMA IoT SAFE applet interface (IoT.05
// version 1.0): instructions, tags and values that the applet and its clients
// share. It knows bytes; what they do belongs to package profile/iotsafe and its
// applet.
//
// The text of IoT.05 was not at hand: these are from five implementations that
// cite it (see the constants' values in use there). What only some cards do is
// marked as such where it is handled.
package iotsafe

// Instructions. The class is 0x0n or 0x8n with channel n; applets take both.
const (
	INSPutPublicKeyInit     = 0x24
	INSComputeSignatureInit = 0x2A
	INSComputeSignature     = 0x2B // update
	INSVerifySignatureInit  = 0x2C
	INSVerifySignature      = 0x2D // update
	INSComputeDH            = 0x46
	INSComputePRF           = 0x48
	INSComputeHKDF          = 0x4A // extract
	INSManageChannel        = 0x70
	INSGetRandom            = 0x84
	INSSelect               = 0xA4
	INSReadFile             = 0xB0
	INSGenerateKeyPair      = 0xB9
	INSGetResponse          = 0xC0
	INSGetData              = 0xCB
	INSReadPublicKey        = 0xCD
	INSPutPublicKey         = 0xD8 // update
)

// First parameters of GET DATA.
const (
	DataApplication = 0x00
	DataObjects     = 0x01
	DataPrivateKey  = 0xC1
	DataPublicKey   = 0xC2
	DataFile        = 0xC3
	DataSecret      = 0xC4
)

// First parameters of commands with sessions; the second one is the session.
const (
	P1Open  = 0x00 // of an Init
	P1Close = 0x01 // of an Init
	P1Last  = 0x80 // of an update: no more follow
)

// First parameters of COMPUTE PRF.
const (
	PRFGeneral  = 0
	PRFPSK      = 1
	PRFPSKECDHE = 2
)

// Tags that name an object, by ID of 1 to 20 bytes or by label of 1 to 60.
const (
	TagFileLabel       = 0x73
	TagPrivateKeyLabel = 0x74
	TagPublicKeyLabel  = 0x75
	TagSecretLabel     = 0x76
	TagFileID          = 0x83
	TagPrivateKeyID    = 0x84
	TagPublicKeyID     = 0x85
	TagSecretID        = 0x86
)

// The longest names in bytes.
const (
	MaxID    = 20
	MaxLabel = 60
)

// Tags of what GET DATA tells of the application, and of an object.
const (
	TagVersion        = 0x10 // of the applet interface
	TagAppletID       = 0x11
	TagMaxFiles       = 0xB1
	TagMaxPrivateKeys = 0xB2
	TagMaxPublicKeys  = 0xB3
	TagMaxSecrets     = 0xB4
	TagFunctions      = 0x90
	TagHashes         = 0x91
	TagSignatures     = 0x92
	TagAgreements     = 0x93
	TagDerivations    = 0x94
	TagMaxSessions    = 0xB7

	TagPrivateKey  = 0xC1
	TagPublicKey   = 0xC2
	TagFile        = 0xC3
	TagSecret      = 0xC4
	TagFileSize    = 0x20 // 2 bytes, big endian
	TagFileUsage   = 0x21
	TagState       = 0x4A
	TagKeyType     = 0x4B
	TagKeyUsage    = 0x4E
	TagAccess      = 0x60
	TagKeyFunction = 0x61
)

// Tags of cryptographic input and output.
const (
	TagSignature  = 0x33 // r and s; its length has two or three bytes, see the quirks of cards
	TagPublicData = 0x34 // around TagECPoint
	TagECKey      = 0x49 // around TagECPoint, inside TagPublicData
	TagECPoint    = 0x86 // 04, X, Y
	TagLastBlock  = 0x9A
	TagFullText   = 0x9B
	TagMidState   = 0x9C
	TagCount      = 0x9D // of bytes hashed before the last block, 4 bytes
	TagHash       = 0x9E
	TagMode       = 0xA1
	TagSecretData = 0xD1 // key of a PRF or input of HKDF
	TagSeed       = 0xD2 // label and seed of a PRF
	TagOutLength  = 0xD3
	TagPremaster  = 0xD4
	TagSalt       = 0xD5
)

// Modes of operation of a signature (TagMode).
const (
	ModeFullText  = 1
	ModeLastBlock = 2
	ModePad       = 3 // the text's hash comes from outside
)

// Hash algorithms (TagHashes), two bytes; together in GET DATA.
const (
	SHA256 = 0x0001
	SHA384 = 0x0002
	SHA512 = 0x0004
)

// Signature algorithms (TagSignatures); together in GET DATA.
const (
	RSAPKCS1 = 0x01
	RSAPSS   = 0x02
	ECDSA    = 0x04
)

// Key types (TagKeyType).
const (
	KeyRSA2048           = 0x03
	KeyP256Persistent    = 0x13
	KeyP256Volatile      = 0x14
	KeyBrainpool         = 0x23
	KeyBrainpoolVolatile = 0x24
	KeyHMAC              = 0xA0
)

// What a key may do (TagKeyFunction), and the applet can (TagFunctions).
const (
	FunctionSign     = 0x01
	FunctionGenerate = 0x02
	FunctionAgree    = 0x04
	FunctionDerive   = 0x08
)

// Access conditions (TagAccess) and states (TagState).
const (
	AccessRead   = 0x01
	AccessUpdate = 0x02

	StateInactive = 0x00
	StateActive   = 0x01
)

// Usages: of keys (TagKeyUsage), and of files (TagFileUsage).
const (
	KeyGeneral = 0x01
	KeyTLS12   = 0x02 // CertificateVerify
	KeyTLS13   = 0x03 // CertificateVerify

	FileGeneral     = 0x01
	FileCertificate = 0x02 // X.509
)

// The containers of CIRA's prototype (2020), each with an ID of one byte.
const (
	CIRAPrivateKey     = 1
	CIRACertificate    = 2  // of the device
	CIRAASP            = 3  // certificate of the provider's CA
	CIRAEphemeral      = 4  // key pair
	CIRAPeer           = 5  // ephemeral public key of the peer
	CIRARoot           = 6  // certificate of the registry's root
	CIRASub            = 7  // certificate of the registry's issuer
	CIRAEndpoint       = 8  // JSON: url, port
	CIRAEndpointSigned = 9  // DER ECDSA by the issuer over the bytes of 8
	CIRAASPSigned      = 10 // DER ECDSA by the issuer over the DER of 3
)

// AIDs of IoT SAFE applets that are in use.
var (
	aidGSMA   = []byte{0xA0, 0x00, 0x00, 0x05, 0x59, 0x00, 0x10}
	aidCIRA   = []byte{0xA0, 0x00, 0x00, 0x02, 0x48, 0x04, 0x00}
	aidThales = []byte{0xA0, 0x00, 0x00, 0x00, 0x30, 0x53, 0xF1, 0x24, 0x01, 0x77, 0x01, 0x01, 0x49, 0x53, 0x41}
)

// AIDs returns the identifiers to look for an applet under, the GSMA's first, then
// that of CIRA's prototype, then that of Thales' demonstrations.
func AIDs() [][]byte {
	return [][]byte{append([]byte{}, aidGSMA...), append([]byte{}, aidCIRA...), append([]byte{}, aidThales...)}
}
