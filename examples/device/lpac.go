package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/iotregistry/sdk/internal/apdu"
	"github.com/iotregistry/sdk/internal/strictjson"
)

// maxLine bounds a line in bytes. An APDU of extended length has some 131,000
// digits; lpac's have about 600.
const maxLine = 256 << 10

// A message of lpac's stdio protocol (its document driver/apdu: one JSON object a
// line), and the answer.
type (
	lpacMessage struct {
		Type    string          `json:"type"`
		Payload json.RawMessage `json:"payload"`
	}
	lpacRequest struct {
		Func  string  `json:"func"`
		Param *string `json:"param"` // hexadecimal
	}
	lpacAnswer struct {
		Type    string `json:"type"`
		Payload struct {
			ECode int    `json:"ecode"` // 0 or a channel's number; below zero for failure
			Data  string `json:"data,omitempty"`
		} `json:"payload"`
	}
)

// lpac is the card for an LPA that speaks lpac's protocol, until its output ends.
// What cannot be answered is -1, and why is said on standard error.
func (d *device) lpac(ctx context.Context, _ []string) error {
	c := &lpacCard{transport: d.kept, reset: d.chip.Reset}
	return c.serve(ctx, d.stdin, d.stdout, d.stderr)
}

// lpacCard is a card behind the protocol.
type lpacCard struct {
	transport apdu.Transport
	reset     func() // takes the power away and gives it back
}

func (c *lpacCard) serve(ctx context.Context, in io.Reader, out, log io.Writer) error {
	lines := bufio.NewReaderSize(in, 16<<10)
	for n := 1; ; n++ {
		line, err := readLine(lines)
		if err == io.EOF || ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, errLong) {
			return err
		}
		if err == nil && len(line) == 0 {
			continue
		}
		var m lpacMessage
		if err == nil {
			m, err = parseMessage(line)
		}
		if err == nil && m.report() {
			fmt.Fprintf(log, "lpac: %s\n", shown(string(line)))
			continue
		}
		var a lpacAnswer
		a.Type = "apdu"
		if err == nil {
			a.Payload.ECode, a.Payload.Data, err = c.answer(ctx, m)
		}
		if err != nil {
			fmt.Fprintf(log, "device: line %d: %v\n", n, err)
			a.Payload.ECode = -1
		}
		if err := json.NewEncoder(out).Encode(&a); err != nil {
			return err
		}
	}
}

var errLong = errors.New("longer than 256 KiB, so that it was not read")

// readLine returns a line without its end. One that is too long is skipped.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(line) == 0 && !long:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		case long:
			return nil, errLong
		}
		for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
			line = line[:len(line)-1]
		}
		return line, nil
	}
}

func parseMessage(line []byte) (m lpacMessage, err error) {
	if err := strictjson.Decode(line, &m, strictjson.Limits{Depth: 16, Names: 16 << 10}); err != nil {
		return m, fmt.Errorf("no message of lpac: %w", err)
	}
	return m, nil
}

// report tells what wants no answer: results and progress.
func (m *lpacMessage) report() bool { return m.Type == "lpa" || m.Type == "progress" }

// answer carries out a request.
func (c *lpacCard) answer(ctx context.Context, m lpacMessage) (ecode int, data string, err error) {
	switch m.Type {
	case "apdu":
	case "http":
		return 0, "", errors.New("http requests are not answered here: set LPAC_HTTP=curl")
	default:
		return 0, "", fmt.Errorf("no message of lpac: type %.20q", m.Type)
	}
	var r lpacRequest
	if err := strictjson.Decode(m.Payload, &r, strictjson.Limits{Depth: 4, Names: 16}); err != nil {
		return 0, "", fmt.Errorf("payload: %w", err)
	}
	var param []byte
	if r.Param != nil {
		if param, err = hex.DecodeString(*r.Param); err != nil {
			return 0, "", errors.New("payload.param is not hexadecimal")
		}
	}
	switch r.Func {
	case "connect", "disconnect":
		c.reset()
		return 0, "", nil
	case "logic_channel_open":
		ecode, err := c.openChannel(ctx, param)
		return ecode, "", err
	case "logic_channel_close":
		return 0, "", c.closeChannel(ctx, param)
	case "transmit":
		response, err := c.transport.Transmit(ctx, param)
		return 0, hex.EncodeToString(response), err
	}
	return 0, "", fmt.Errorf("no payload.func of lpac: %.40q", r.Func)
}

// Instructions of ISO/IEC 7816-4.
const (
	insManageChannel = 0x70
	insSelect        = 0xA4
)

// openChannel opens a logical channel, selects an application on it and returns
// its number.
func (c *lpacCard) openChannel(ctx context.Context, aid []byte) (int, error) {
	r, err := apdu.Send(ctx, c.transport, apdu.Command{INS: insManageChannel, Le: 1})
	if err != nil {
		return 0, fmt.Errorf("open a channel: %w", err)
	}
	if len(r.Data) != 1 || r.Data[0] == 0 || r.Data[0] > 3 {
		return 0, errors.New("open a channel: the card's answer is no number")
	}
	number := r.Data[0]
	if _, err := apdu.Send(ctx, c.transport, apdu.Command{CLA: number, INS: insSelect, P1: 4, Data: aid, Le: 256}); err != nil {
		return 0, errors.Join(fmt.Errorf("select: %w", err), c.closeChannel(ctx, []byte{number}))
	}
	return int(number), nil
}

func (c *lpacCard) closeChannel(ctx context.Context, param []byte) error {
	if len(param) != 1 {
		return errors.New("payload.param is one byte: the channel's number")
	}
	_, err := apdu.Send(ctx, c.transport, apdu.Command{INS: insManageChannel, P1: 0x80, P2: param[0]})
	return err
}
