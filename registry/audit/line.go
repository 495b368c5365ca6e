package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// Bounds in bytes. MaxLine is that of a line without its end, MaxEntry that of
// the entry in it.
const (
	MaxLine  = 1 << 20
	MaxEntry = MaxLine - 128
)

// Chain is the state of a trail: the number of its last entry and that one's
// hash. The zero Chain is an empty trail.
type Chain struct {
	Seq  uint64
	Hash [32]byte
}

// Line is a sealed entry.
type Line struct {
	Seq   uint64          `json:"seq"`   // from 1
	Hash  string          `json:"hash"`  // hexadecimal, of this entry and all before it
	Entry json.RawMessage `json:"entry"` // the bytes that were hashed
}

const entryContext = "iotreg audit entry v1\n"

// next returns the chain after entry.
func (c Chain) next(entry []byte) Chain {
	var before [len(entryContext) + 32 + 8]byte
	copy(before[:], entryContext)
	copy(before[len(entryContext):], c.Hash[:])
	c.Seq++
	binary.BigEndian.PutUint64(before[len(before)-8:], c.Seq)
	d := sha256.New()
	d.Write(before[:])
	d.Write(entry)
	d.Sum(c.Hash[:0])
	return c
}

// Append seals entry as the next one of the trail. Give it what [Entry.Encode]
// returned: other bytes make lines that nobody can verify, which is not checked
// here. The Line keeps entry and does not copy it.
func (c *Chain) Append(entry []byte) Line {
	*c = c.next(entry)
	return Line{Seq: c.Seq, Hash: hex.EncodeToString(c.Hash[:]), Entry: entry}
}

// Head states, unsigned, how long the trail named log is now. The time is kept
// in UTC and milliseconds.
func (c *Chain) Head(log string, now time.Time) Head {
	return Head{Log: log, Seq: c.Seq, Hash: hex.EncodeToString(c.Hash[:]), Time: headTime(now)}
}

const (
	beforeSeq   = `{"seq":`
	beforeHash  = `,"hash":"`
	beforeEntry = `","entry":`
	hexHash     = 2 * sha256.Size
)

// AppendJSON appends the line to b without a line end, the entry's bytes as they
// are. The encoding/json package would change some: write lines with this.
func (l Line) AppendJSON(b []byte) []byte {
	b = append(b, beforeSeq...)
	b = strconv.AppendUint(b, l.Seq, 10)
	b = append(b, beforeHash...)
	b = append(b, l.Hash...)
	b = append(b, beforeEntry...)
	b = append(b, l.Entry...)
	return append(b, '}')
}

// ParseLine reads the line that [Line.AppendJSON] wrote, without its line end.
// It accepts that form only, so that what it read encodes to the same bytes. It
// does not check the hash; [Verifier] does. Errors are [ErrFormat] and
// [ErrTooLarge]. The Line holds a copy of what it needs of b.
func ParseLine(b []byte) (Line, error) {
	p, err := parseLine(b)
	if err != nil {
		return Line{}, &Error{Seq: p.seq, Err: err}
	}
	return Line{Seq: p.seq, Hash: string(p.hash), Entry: bytes.Clone(p.entry)}, nil
}

// parsed is a line; its slices are parts of the bytes read.
type parsed struct {
	seq         uint64
	hash, entry []byte
	at          time.Time
}

func parseLine(b []byte) (p parsed, err error) {
	if len(b) > MaxLine {
		return p, ErrTooLarge
	}
	rest, ok := bytes.CutPrefix(b, []byte(beforeSeq))
	digits := bytes.IndexByte(rest, ',')
	if !ok || digits < 1 || rest[0] == '0' {
		return p, malformed("the line is no entry with a sequence number")
	}
	seq, err := strconv.ParseUint(string(rest[:digits]), 10, 64)
	if err != nil {
		return p, malformed("the sequence number is none")
	}
	rest, ok = bytes.CutPrefix(rest[digits:], []byte(beforeHash))
	if !ok || len(rest) < hexHash || !isHash(rest[:hexHash]) {
		return p, malformed("the hash is not 64 lower-case hexadecimal digits")
	}
	hash, rest := rest[:hexHash], rest[hexHash:]
	entry, ok := bytes.CutPrefix(rest, []byte(beforeEntry))
	if !ok || !bytes.HasSuffix(entry, []byte("}")) {
		return p, malformed("the line has no entry or other members")
	}
	p.seq, p.hash, p.entry = seq, hash, entry[:len(entry)-1]
	p.at, err = checkEntry(p.entry)
	return p, err
}

func isHash[T string | []byte](s T) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return len(s) == hexHash
}
