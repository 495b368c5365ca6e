package term

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// A bar shorter than minBar columns says nothing and is left out; one longer
// than maxBar is no more exact.
const minBar, maxBar = 5, 40

// redraw draws the bar of the step begun last, if W is a terminal.
func (r *Reporter) redraw(now time.Time) {
	if r.width == nil || len(r.steps) == 0 {
		return
	}
	s := r.steps[len(r.steps)-1]
	io.WriteString(r.out, "\r\x1b[K"+s.line(r.width(), r.ascii, now))
	r.drawn = true
}

// erase takes the standing bar away.
func (r *Reporter) erase() {
	if r.drawn {
		io.WriteString(r.out, "\r\x1b[K")
		r.drawn = false
	}
}

// line is the bar of s in at most width-1 columns, so that the cursor never
// wraps: "publish [#####.....] 500/1000 1.2s".
func (s *Step) line(width int, ascii bool, now time.Time) string {
	width = max(width-1, 1)
	tail := fmt.Sprintf(" %s %s", s.counts(), now.Sub(s.start).Round(100*time.Millisecond))
	room := width - utf8.RuneCountInString(s.name) - utf8.RuneCountInString(tail) - 3
	if s.total == 0 || room < minBar {
		return cut(s.name+tail, width)
	}
	room = min(room, maxBar)
	full := min(max(s.count, 0), s.total) * room / s.total
	on, off := "█", "░"
	if ascii {
		on, off = "#", "."
	}
	return s.name + " [" + strings.Repeat(on, full) + strings.Repeat(off, room-full) + "]" + tail
}

// cut shortens text to width runes.
func cut(text string, width int) string {
	if runes := []rune(text); len(runes) > width {
		return string(runes[:width])
	}
	return text
}

// clean makes text safe to print inside a line: device IDs and names come from
// other people's files and must not move the cursor.
func clean(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.In(c, unicode.Cc, unicode.Bidi_Control) {
			return '?'
		}
		return c // a byte that is no UTF-8 arrives and leaves as U+FFFD
	}, text)
}

// cleanLines is clean for text that may hold several lines and tabs.
func cleanLines(text string) string {
	return strings.Map(func(c rune) rune {
		if c != '\n' && c != '\t' && unicode.In(c, unicode.Cc, unicode.Bidi_Control) {
			return '?'
		}
		return c
	}, strings.TrimSuffix(text, "\n")) + "\n"
}

// terminalWidth returns how to ask for the width of w, or nil where w is no
// terminal that understands a carriage return.
func terminalWidth(w io.Writer, getenv func(string) string) func() int {
	file, ok := w.(*os.File)
	if !ok || getenv("TERM") == "dumb" || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return func() int {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 {
			return 80
		}
		return width
	}
}

// utf8Locale follows POSIX: the first of the three that is set decides.
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToUpper(getenv(name)); value != "" {
			return strings.Contains(value, "UTF-8") || strings.Contains(value, "UTF8")
		}
	}
	return false
}
