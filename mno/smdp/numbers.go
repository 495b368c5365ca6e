package smdp

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"

	"github.com/iotregistry/sdk/mno"
)

const (
	iccidDigits = 19 // ITU-T E.118: at most 19, check digit included
	iccidTries  = 64 // random numbers tried before the stock counts as used up
)

// newICCID returns a number with the configured start that is not in the order
// book. Numbers are random, not counted: no record is then touched by every
// order, and numbers tell nobody how many there are.
func (e *Engine) newICCID(ctx context.Context, profileType string) (string, error) {
	b := make([]byte, 0, iccidDigits)
	for range iccidTries {
		b = append(b[:0], e.cfg.IIN...)
		var err error
		if b, err = e.appendDigits(b, iccidDigits-1-len(b)); err != nil {
			return "", err
		}
		iccid := string(append(b, luhn(b)))
		_, err = e.cfg.Store.Find(ctx, Query{ICCID: iccid})
		if errors.Is(err, ErrNotFound) {
			return iccid, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", mno.With(mno.ErrNoneLeft, profileType, "no free ICCID found that starts with "+e.cfg.IIN)
}

// appendDigits appends n random decimal digits.
func (e *Engine) appendDigits(b []byte, n int) ([]byte, error) {
	var raw [32]byte
	for n > 0 {
		if _, err := io.ReadFull(e.cfg.Rand, raw[:]); err != nil {
			return nil, fmt.Errorf("smdp: random source: %w", err)
		}
		for _, r := range raw {
			if n > 0 && r < 250 { // 250 = 25*10: no digit is favoured
				b = append(b, '0'+r%10)
				n--
			}
		}
	}
	return b, nil
}

// luhn returns the check digit that follows the digits b (ISO/IEC 7812-1).
func luhn(b []byte) byte {
	sum := 0
	for i := range b {
		d := int(b[len(b)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return '0' + byte((10-sum%10)%10)
}

// newMatchingID returns 128 random bits in the characters of SGP.22 section
// 4.1.1.
func (e *Engine) newMatchingID() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(e.cfg.Rand, b[:]); err != nil {
		return "", fmt.Errorf("smdp: random source: %w", err)
	}
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]), nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
