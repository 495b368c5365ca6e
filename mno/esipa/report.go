package esipa

import (
	"fmt"
	"strings"
)

// Kind says what an eIM asked a device to do.
type Kind string

// The kinds of package.
const (
	KindDownload   Kind = "download"
	KindOperations Kind = "operations"
	KindData       Kind = "data"
	KindUnknown    Kind = "unknown" // refused: not one of the others, or malformed
)

// Report is what an [IPA] did in one Poll, for programs to print. It holds no
// secrets.
type Report struct {
	EID      string // of the eUICC
	Packages []Done // in their order, first results of earlier ones
	Notified int    // notifications that SM-DP+s have taken
	More     bool   // the eIM may have more to do
}

// Done is what came of one package.
type Done struct {
	Kind        Kind
	Transaction string      // eimTransactionId in hexadecimal; empty for none
	ICCID       string      // of the profile that was downloaded, or was to be
	Installed   bool        // the profile is on the eUICC
	Operations  []Operation // of a package for the eUICC
	Resent      bool        // done before; the eIM was told once more
	Told        bool        // the eIM has the result
	Err         error       // why it came to nothing; nil where it did not
}

// Operation is what came of one operation of a package.
type Operation struct {
	Name    string // such as "enable" or "addEIM"
	Subject string // ICCID or eIM ID that it was about; empty where that is not known
	Result  string // "ok", or SGP.32's name of the error
	OK      bool
}

// String is like "enable 8944476500001224158: ok".
func (o Operation) String() string {
	if o.Subject == "" {
		return o.Name + ": " + o.Result
	}
	return o.Name + " " + o.Subject + ": " + o.Result
}

// String is one line without a line break.
func (d Done) String() string {
	var b strings.Builder
	b.WriteString(string(d.Kind))
	if d.Transaction != "" {
		b.WriteString(" [" + d.Transaction + "]")
	}
	if d.ICCID != "" {
		b.WriteString(" of " + d.ICCID)
	}
	switch {
	case d.Err != nil:
		fmt.Fprintf(&b, ": %v", d.Err)
	case d.Installed:
		b.WriteString(": installed")
	case len(d.Operations) > 0:
		for i, o := range d.Operations {
			b.WriteString([]string{": ", ", "}[min(i, 1)] + o.String())
		}
	default:
		b.WriteString(": done")
	}
	if d.Resent {
		b.WriteString(" (earlier)")
	}
	if !d.Told {
		b.WriteString(" (the eIM does not know yet)")
	}
	return strings.ReplaceAll(b.String(), "\n", "; ")
}

// String is one line for each package, and one for the notifications if there
// were any.
func (r Report) String() string {
	var lines []string
	for _, d := range r.Packages {
		lines = append(lines, d.String())
	}
	if r.Notified > 0 {
		lines = append(lines, fmt.Sprintf("%d notifications delivered", r.Notified))
	}
	if r.More {
		lines = append(lines, "there may be more to do")
	}
	return strings.Join(lines, "\n")
}
