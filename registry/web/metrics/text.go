package metrics

import (
	"bufio"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ContentType is of what [Set.Handler] answers.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Handler answers GET and HEAD with all metrics, by name.
func (s *Set) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", ContentType)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = s.WriteTo(w) // whoever asked is gone
	})
}

// WriteTo writes all metrics in the text format 0.0.4, by name and label values.
func (s *Set) WriteTo(w io.Writer) (int64, error) {
	s.mu.Lock()
	families := slices.SortedFunc(maps.Values(s.families), func(a, b *family) int { return strings.Compare(a.name, b.name) })
	s.mu.Unlock()
	count := &counter{w: w}
	buf := bufio.NewWriter(count)
	for _, f := range families {
		f.write(buf)
	}
	err := buf.Flush()
	return count.n, err
}

// counter counts the bytes that come through.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

var (
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapeValue = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// write writes the metric. Errors stay in buf until it is flushed.
func (f *family) write(buf *bufio.Writer) {
	all := f.sorted()
	if len(all) == 0 && len(f.labels) == 0 {
		all = []*series{f.get(nil)} // a metric without labels is zero before its first use
	}
	if len(all) == 0 {
		return
	}
	_, _ = buf.WriteString("# HELP " + f.name + " " + escapeHelp.Replace(f.help) + "\n# TYPE " + f.name + " " + f.kind + "\n")
	for _, s := range all {
		f.writeSeries(buf, s)
	}
}

func (f *family) sorted() []*series {
	f.mu.RLock()
	defer f.mu.RUnlock()
	keys := slices.Sorted(maps.Keys(f.series))
	all := make([]*series, len(keys))
	for i, key := range keys {
		all[i] = f.series[key]
	}
	return all
}

func (f *family) writeSeries(buf *bufio.Writer, s *series) {
	s.mu.Lock()
	value, counts := s.value, slices.Clone(s.counts)
	s.mu.Unlock()
	labels := f.pairs(s.values)
	if f.kind != "histogram" {
		sample(buf, f.name, labels, number(value))
		return
	}
	var sum uint64
	for i, n := range counts {
		bound := "+Inf"
		if i < len(f.bounds) {
			bound = number(f.bounds[i])
		}
		sum += n
		sample(buf, f.name+"_bucket", append(labels[:len(labels):len(labels)], `le="`+bound+`"`), strconv.FormatUint(sum, 10))
	}
	sample(buf, f.name+"_sum", labels, number(value))
	sample(buf, f.name+"_count", labels, strconv.FormatUint(sum, 10))
}

func (f *family) pairs(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = f.labels[i] + `="` + escapeValue.Replace(v) + `"`
	}
	return out
}

func sample(buf *bufio.Writer, name string, labels []string, value string) {
	_, _ = buf.WriteString(name)
	if len(labels) > 0 {
		_, _ = buf.WriteString("{" + strings.Join(labels, ",") + "}")
	}
	_, _ = buf.WriteString(" " + value + "\n")
}

// number writes v as the format has it: as Go does, with +Inf, -Inf and NaN.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
