package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/iotregistry/sdk/registry"
)

// results is a report of one line for each device.
type results struct {
	apiHead
	Job     *registry.Job     `json:"job,omitempty"`
	Failed  int               `json:"failed"`
	Results []registry.Result `json:"results"`
	Error   string            `json:"error,omitempty"` // of a call that failed midway
}

func (r *results) judge() {
	r.Failed = len(registry.Failed(r.Results))
	r.OK = r.Failed == 0 && r.Error == ""
}

func (r *results) text(w io.Writer) {
	if len(r.Results) > 0 {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "DEVICE\tRESULT\tPROFILE\tWHY")
		for _, res := range r.Results {
			word, why := outcome(res)
			fmt.Fprintln(tw, cells([]any{res.Device, word, number(res.ProfileID), why}))
		}
		tw.Flush()
	}
	fmt.Fprintf(w, "%s: %d done, %d failed\n", count(len(r.Results), "device"), len(r.Results)-r.Failed, r.Failed)
	if r.Job != nil && r.Job.State == registry.JobCancelled {
		fmt.Fprintf(w, "job %s was cancelled\n", r.Job.ID)
	}
	if r.Error != "" {
		fmt.Fprintf(w, "failed midway: %s\n", r.Error)
	}
}

// outcome says in a word what became of a device, and why where it is refused.
func outcome(res registry.Result) (word, why string) {
	switch {
	case res.Err != nil:
		why = res.Err.Error()
		var e *registry.Error
		if errors.As(res.Err, &e) && e.Err != nil {
			why = e.Err.Error() // operation and device are told already
		}
		if res.Line > 0 {
			why = fmt.Sprintf("line %d: %s", res.Line, why)
		}
		return fmt.Sprintf("refused %d", registry.Code(res.Err)), why
	case res.Pending:
		return "pending", ""
	}
	return "done", ""
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}
