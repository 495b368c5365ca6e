package applet

import (
	"fmt"
	"slices"
	"time"

	"github.com/iotregistry/sdk/internal/iotsafe"
)

// Quirks are how one kind of card differs from another where IoT.05 is unclear or
// not followed. The zero value is [StandardCard].
type Quirks struct {
	// AIDs are what the applet is selected by, each 5 to 16 bytes; nil: the
	// GSMA's, A0000005590010.
	AIDs [][]byte

	// IDWidth is how many bytes every ID has. Shorter ones of objects are padded
	// with zeros, in front or, with IDLittleEndian, behind; others cannot be put
	// and are wrong data (6A80) in commands. 0: any.
	IDWidth        int
	IDLittleEndian bool

	SignatureLength LengthForm // of the length after tag 33
	DERSignatures   bool       // ECDSA-Sig-Value in place of r and s

	// FileSize is what files are padded to with zeros; longer ones cannot be put.
	// 0: they have their own sizes.
	FileSize int
	End      End // reading from the end of a file on
	Chunk    int // the most bytes that READ FILE gives; 0: 255

	NoGetData    bool // GET DATA is unknown (6D00)
	WrongGetData bool // of the application: ID one byte shorter than its length says, hashes in one byte

	ShortRandom   bool // GET RANDOM gives zeros where 128 bytes or more are wanted
	RandomWarning bool // GET RANDOM ends with 6300 where it succeeds

	KeyGeneration time.Duration // how long GENERATE KEY PAIR takes
	MovesKeys     bool          // GENERATE KEY PAIR gives the pair another ID

	Answers   Answers
	ExactLe   bool // 6Cxx to another Le than there is data, where a command only reads
	Proactive byte // xx of 91xx in place of 9000; 0: 9000

	// FailAfterUpdate refuses the first command on an object after its update
	// with 6989; otherwise it is carried out and answered with 63CF.
	FailAfterUpdate bool
}

// LengthForm is how a card writes the 64 bytes of a signature's length.
type LengthForm int

// The forms that clients have met.
const (
	WideLength  LengthForm = iota // 33 00 40; what most cards that can be told apart do
	ShortLength                   // 33 40
	LongLength                    // 33 81 40
)

// End is what a card answers to READ FILE from the end of a file on.
type End int

// The answers that clients have met.
const (
	EndRefused End = iota // 6A86
	EndEmpty              // 9000 without data
	EndZeros              // as many zeros as were wanted
)

// Answers is how response data come to a client.
type Answers int

// With Le at once and without by GET RESPONSE is what ISO/IEC 7816-3 has for T=0.
const (
	AnswersISO   Answers = iota // at once to commands with Le, else by 61xx and GET RESPONSE
	AnswersFetch                // always by 61xx and GET RESPONSE
	AnswersPush                 // at once, also where a command with data has no Le
)

// StandardCard follows IoT.05 as most implementations read it.
func StandardCard() Quirks { return Quirks{} }

// CIRACard is the one of CIRA's prototype of 2020: IDs of one byte, files of 2,048
// bytes that go on with zeros, no random bytes beyond 127.
func CIRACard() Quirks {
	return Quirks{
		AIDs: iotsafe.AIDs()[1:2], IDWidth: 1, SignatureLength: ShortLength,
		FileSize: 2048, End: EndZeros, ShortRandom: true,
	}
}

// ThalesCard is the one that Thales' middleware was made for.
func ThalesCard() Quirks {
	return Quirks{AIDs: iotsafe.AIDs()[2:3], SignatureLength: ShortLength, RandomWarning: true, End: EndEmpty}
}

// WolfSSLCard answers wolfSSL, which never sends Le.
func WolfSSLCard() Quirks { return Quirks{IDWidth: 1, Answers: AnswersPush} }

// ZariotCard is the one that atsign's client was made for: IDs of three bytes,
// which change with the key, and answers to be fetched.
func ZariotCard() Quirks { return Quirks{IDWidth: 3, MovesKeys: true, Answers: AnswersFetch} }

func (q *Quirks) complete() error {
	if q.AIDs == nil {
		q.AIDs = iotsafe.AIDs()[:1]
	}
	q.AIDs = slices.Clone(q.AIDs)
	for _, aid := range q.AIDs {
		if len(aid) < 5 || len(aid) > 16 {
			return fmt.Errorf("%w: an AID has not 5 to 16 bytes", ErrConfig)
		}
	}
	if q.Chunk == 0 {
		q.Chunk = 255
	}
	switch {
	case q.IDWidth < 0 || q.IDWidth > iotsafe.MaxID:
		return fmt.Errorf("%w: IDWidth is not within 0 and %d", ErrConfig, iotsafe.MaxID)
	case q.FileSize < 0 || q.FileSize > MaxFile:
		return fmt.Errorf("%w: FileSize is not within 0 and %d", ErrConfig, MaxFile)
	case q.Chunk < 1 || q.Chunk > 256:
		return fmt.Errorf("%w: Chunk is not within 1 and 256", ErrConfig)
	}
	return nil
}

// pad gives an ID the width that the card's have.
func (q *Quirks) pad(id []byte) []byte {
	zeros := make([]byte, max(q.IDWidth-len(id), 0))
	if q.IDLittleEndian {
		return append(append([]byte{}, id...), zeros...)
	}
	return append(zeros, id...)
}

// goodID reports whether the card can have such an ID.
func (q *Quirks) goodID(id []byte) bool {
	return len(id) > 0 && len(id) <= iotsafe.MaxID && (q.IDWidth == 0 || len(id) == q.IDWidth)
}
