package atcsim

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/iotregistry/sdk/profile/iotsafe"
)

// Card answers commands; a simulated applet or eUICC, or another transport.
type Card interface {
	// Transmit returns the card's response; its error means that there was none,
	// which the modem tells as "SIM not inserted" where it is
	// iotsafe.ErrCardRemoved, else as "SIM failure".
	Transmit(ctx context.Context, command []byte) (response []byte, err error)
}

// What a modem says of itself where ServeOptions do not.
const (
	DefaultModel  = "Secure IoT Registry SDK, simulated modem"
	DefaultSerial = "350000000000006" // an IMEI that nobody has
)

// ServeOptions say what kind of modem is simulated. The zero value is one that
// behaves.
type ServeOptions struct {
	Model  string // the answer to ATI; "": DefaultModel
	Serial string // the answer to AT+CGSN; "": DefaultSerial
	NoEcho bool   // no echo before ATE1
	Mute   bool   // no echo, whatever ATE1 says

	Late        bool   // answers come after their OK
	Repeat      bool   // answers come twice
	RepeatAll   bool   // answers come twice with their OK, the second time late
	Cut         int    // answers are cut after so many characters within the quotation marks; 0: never
	Unquoted    bool   // no quotation marks
	Uncounted   bool   // no count
	Unsolicited string // a line that comes before each answer

	Delay time.Duration                                    // before each answer of the card
	Sleep func(ctx context.Context, d time.Duration) error // for Delay; nil: waits
}

// Serve is a modem with card behind rw. It answers AT, ATE0, ATE1, ATI, AT+CGSN and
// AT+CSIM, and ERROR to everything else, until ctx ends or rw does; the error says
// which, and is nil for io.EOF. Where rw has no read deadlines, the reading of it
// ends only with the next byte, or when rw is closed.
func Serve(ctx context.Context, rw io.ReadWriter, card Card, opts ServeOptions) error {
	if opts.Model == "" {
		opts.Model = DefaultModel
	}
	if opts.Serial == "" {
		opts.Serial = DefaultSerial
	}
	if opts.Sleep == nil {
		opts.Sleep = sleep
	}
	m := &modem{opts: opts, card: card, out: newWriter(rw), echo: !opts.NoEcho && !opts.Mute}
	in := newPump(rw)
	defer in.close()
	for {
		b, err := in.next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("atcsim: serve: %w", err)
		}
		for _, line := range m.split.feed(b) {
			if err := m.answer(ctx, line); err != nil {
				return fmt.Errorf("atcsim: serve: %w", err)
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type modem struct {
	opts  ServeOptions
	card  Card
	out   *writer
	split splitter
	echo  bool
	again string // to be said a second time before the next command's answer
}

// answer carries out one line.
func (m *modem) answer(ctx context.Context, line string) error {
	if m.again != "" {
		late := m.again
		m.again = ""
		if err := m.say(ctx, late, "OK"); err != nil {
			return err
		}
	}
	if m.echo {
		if err := m.out.write(ctx, []byte(line+"\r")); err != nil {
			return err
		}
	}
	command := strings.ToUpper(strings.TrimSpace(line))
	switch argument, isCSIM := strings.CutPrefix(command, "AT+CSIM="); {
	case command == "AT", command == "AT+CSIM=?":
		return m.say(ctx, "OK")
	case command == "ATE0", command == "ATE1", command == "ATE":
		m.echo = command == "ATE1" && !m.opts.Mute
		return m.say(ctx, "OK")
	case command == "ATI", command == "ATI0":
		return m.say(ctx, m.opts.Model, "OK")
	case command == "AT+CGSN", command == "AT+CGSN=0":
		return m.say(ctx, m.opts.Serial, "OK")
	case isCSIM:
		return m.csim(ctx, argument)
	}
	return m.say(ctx, "ERROR")
}

// csim passes one command to the card.
func (m *modem) csim(ctx context.Context, argument string) error {
	command, ok := parseCommand(argument)
	if !ok {
		return m.say(ctx, "ERROR")
	}
	response, err := m.card.Transmit(ctx, command)
	if err == nil {
		err = m.opts.Sleep(ctx, m.opts.Delay)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch { // 3GPP TS 27.007 section 9.2.1
	case errors.Is(err, iotsafe.ErrCardRemoved):
		return m.say(ctx, "+CME ERROR: 10") // SIM not inserted
	case err != nil:
		return m.say(ctx, "+CME ERROR: 13") // SIM failure
	}
	answer := m.format(response)
	var lines []string
	if m.opts.Unsolicited != "" {
		lines = append(lines, m.opts.Unsolicited)
	}
	switch {
	case m.opts.Late:
		lines = append(lines, "OK", answer)
	case m.opts.Repeat:
		lines = append(lines, answer, answer, "OK")
	default:
		lines = append(lines, answer, "OK")
	}
	if m.opts.RepeatAll {
		m.again = answer
	}
	return m.say(ctx, lines...)
}

// parseCommand reads `16,"A0A4..."` in the spellings that clients use: with spaces
// around the count or before the quotation mark, or without quotation marks.
func parseCommand(argument string) ([]byte, bool) {
	count, text, ok := strings.Cut(argument, ",")
	if !ok {
		return nil, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(count), 10, 16)
	if err != nil {
		return nil, false
	}
	text = strings.TrimSpace(text)
	if inside, opened := strings.CutPrefix(text, `"`); opened {
		if text, ok = strings.CutSuffix(inside, `"`); !ok {
			return nil, false
		}
	}
	command, err := hex.DecodeString(text)
	if err != nil || len(text) != int(n) || len(command) < 4 {
		return nil, false
	}
	return command, true
}

// format writes an answer of the card.
func (m *modem) format(response []byte) string {
	text := strings.ToUpper(hex.EncodeToString(response))
	count := strconv.Itoa(len(text)) + ","
	if m.opts.Cut > 0 && len(text) > m.opts.Cut {
		return answerPrefix + " " + count + `"` + text[:m.opts.Cut]
	}
	if !m.opts.Unquoted {
		text = `"` + text + `"`
	}
	if m.opts.Uncounted {
		count = ""
	}
	return answerPrefix + " " + count + text
}

func (m *modem) say(ctx context.Context, lines ...string) error {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString("\r\n" + line + "\r\n")
	}
	return m.out.write(ctx, []byte(b.String()))
}
