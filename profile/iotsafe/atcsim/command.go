package atcsim

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/iotregistry/sdk/profile/iotsafe"
)

const answerPrefix = "+CSIM:"

// command says a line and reads until its answer is there. With an echo, nothing
// before it counts. The answer comes before the final result, or late after it.
func (c *Client) command(ctx context.Context, line string) ([]byte, error) {
	if err := c.say(ctx, line); err != nil {
		return nil, err
	}
	echoed, answer := !c.state.echo, ""
	for budget := maxInput; ; {
		got, err := c.line(ctx, &budget)
		if err != nil {
			return nil, err
		}
		switch {
		case isEcho(got, line):
			echoed, answer = true, ""
		case !echoed:
			c.stale(got)
		case isAnswer(got) && answer == "":
			answer = got
		case isAnswer(got):
			c.state.repeats = true
		case isRefusal(got):
			c.state.owed--
			return nil, &ModemError{Line: clip(got)}
		case isFinal(got):
			c.state.owed--
			if answer == "" {
				answer, err = c.late(ctx, &budget)
			}
			if err != nil {
				return nil, err
			}
			return parseAnswer(answer)
		}
	}
}

// late waits for an answer that comes after the OK.
func (c *Client) late(ctx context.Context, budget *int) (string, error) {
	limited, cancel := context.WithTimeout(ctx, c.opts.Late)
	defer cancel()
	for {
		got, err := c.line(limited, budget)
		switch {
		case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return "", fmt.Errorf("%w: OK without +CSIM", ErrModem)
		case err != nil:
			return "", err
		case isAnswer(got):
			return got, nil
		case isRefusal(got):
			return "", &ModemError{Line: clip(got)}
		}
	}
}

// isEcho reports whether a modem's line repeats a command. Some put other
// characters before it, such as a prompt.
func isEcho(got, line string) bool {
	before, ok := strings.CutSuffix(got, line)
	return ok && (before == "" || strings.HasSuffix(before, " ") || strings.HasSuffix(before, ">"))
}

func isAnswer(line string) bool { return hasPrefixFold(line, answerPrefix) }

func isFinal(line string) bool { return line == "OK" || line == "0" || isRefusal(line) }

func isRefusal(line string) bool {
	return line == "ERROR" || line == "4" || hasPrefixFold(line, "+CME ERROR") || hasPrefixFold(line, "+CMS ERROR")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func clip(s string) string { return s[:min(len(s), 80)] }

// parseAnswer reads "+CSIM: 4,"9000"" in the spellings there are: with and without
// spaces, quotation marks and count. The count is of characters; some modems count
// bytes. Fewer than the count means that the modem has cut the line.
func parseAnswer(line string) ([]byte, error) {
	rest := strings.TrimSpace(line[len(answerPrefix):])
	count, text, counted := strings.Cut(rest, ",")
	if !counted {
		text = rest
	}
	text = strings.TrimSpace(text)
	opened := strings.HasPrefix(text, `"`)
	text, closed := strings.CutSuffix(strings.TrimPrefix(text, `"`), `"`)
	text = strings.TrimSpace(text)
	want := len(text)
	if counted {
		n, err := strconv.ParseUint(strings.Trim(count, `" `), 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%w: no count", ErrModem)
		}
		want = int(n)
	}
	response, err := hex.DecodeString(text[:len(text)&^1])
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: no hexadecimal digits", ErrModem)
	case len(text) < want || opened && !closed, len(text)%2 != 0:
		return nil, fmt.Errorf("atcsim: %d of %d characters: %w", len(text), want, iotsafe.ErrTruncated)
	case len(text) != want && len(text) != 2*want:
		return nil, fmt.Errorf("%w: %d characters instead of %d", ErrModem, len(text), want)
	case len(response) < 2:
		return nil, fmt.Errorf("%w: no status word", ErrModem)
	}
	return response, nil
}
