package metrics_test

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/iotregistry/sdk/registry/web/metrics"
	"github.com/stretchr/testify/require"
)

// sample is one line of the text format as the parser below, which shares no code
// with the package, understands it.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

// parse reads the text format 0.0.4 and refuses what its description does not
// allow: samples without HELP and TYPE before them, names twice, stray bytes.
func parse(text string) (samples []sample, kinds map[string]string, err error) {
	kinds = map[string]string{}
	help, seen, current := map[string]string{}, map[string]bool{}, ""
	if text != "" && !strings.HasSuffix(text, "\n") {
		return nil, nil, fmt.Errorf("the last line does not end")
	}
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		line := sc.Text()
		if f := strings.SplitN(line, " ", 4); f[0] == "#" {
			if len(f) < 4 || f[1] != "HELP" && f[1] != "TYPE" {
				return nil, nil, fmt.Errorf("odd comment %q", line)
			}
			if f[1] == "HELP" {
				if help[f[2]] != "" {
					return nil, nil, fmt.Errorf("two blocks of %q", f[2])
				}
				help[f[2]], current = f[3], f[2]
			} else {
				kinds[f[2]] = f[3]
			}
			continue
		}
		s, err := parseSample(line)
		if err != nil {
			return nil, nil, fmt.Errorf("%q: %w", line, err)
		}
		key := fmt.Sprint(s.name, s.labels)
		base := s.name
		if kinds[current] == "histogram" {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				base = strings.TrimSuffix(base, suffix)
			}
		}
		if base != current || kinds[current] == "" || seen[key] {
			return nil, nil, fmt.Errorf("%q stands outside its block or twice", line)
		}
		seen[key] = true
		samples = append(samples, s)
	}
	return samples, kinds, nil
}

func parseSample(line string) (sample, error) {
	s := sample{labels: map[string]string{}}
	at := strings.IndexAny(line, "{ ")
	if at < 1 {
		return s, fmt.Errorf("no name")
	}
	s.name, line = line[:at], line[at:]
	if line[0] == '{' {
		var err error
		if line, err = s.parseLabels(line[1:]); err != nil {
			return s, err
		}
	}
	text, ok := strings.CutPrefix(line, " ")
	if !ok {
		return s, fmt.Errorf("no blank before the value")
	}
	var err error
	s.value, err = strconv.ParseFloat(text, 64)
	return s, err
}

func (s *sample) parseLabels(rest string) (string, error) {
	for {
		name, after, ok := strings.Cut(rest, `="`)
		if !ok || s.labels[name] != "" {
			return "", fmt.Errorf("bad label name")
		}
		var value strings.Builder
		i := 0
		for ; i < len(after) && after[i] != '"'; i++ {
			c := after[i]
			if c == '\\' {
				i++
				if i == len(after) || !strings.ContainsRune(`\n"`, rune(after[i])) {
					return "", fmt.Errorf("bad escape")
				}
				if c = after[i]; c == 'n' {
					c = '\n'
				}
			}
			value.WriteByte(c)
		}
		if i+1 >= len(after) {
			return "", fmt.Errorf("label value does not end")
		}
		s.labels[name] = value.String()
		switch rest = after[i+1:]; rest[0] {
		case '}':
			return rest[1:], nil
		case ',':
			rest = rest[1:]
		default:
			return "", fmt.Errorf("neither , nor } after a label")
		}
	}
}

func text(t testing.TB, s *metrics.Set) string {
	t.Helper()
	var b strings.Builder
	n, err := s.WriteTo(&b)
	require.NoError(t, err)
	require.EqualValues(t, b.Len(), n)
	return b.String()
}

// values maps "name{a=1,b=2}" to the value of each sample.
func values(t testing.TB, s *metrics.Set) map[string]float64 {
	t.Helper()
	samples, _, err := parse(text(t, s))
	require.NoError(t, err)
	out := map[string]float64{}
	for _, s := range samples {
		var labels []string
		for _, k := range slices.Sorted(maps.Keys(s.labels)) {
			labels = append(labels, k+"="+s.labels[k])
		}
		key := s.name
		if len(labels) > 0 {
			key += "{" + strings.Join(labels, ",") + "}"
		}
		out[key] = s.value
	}
	return out
}
