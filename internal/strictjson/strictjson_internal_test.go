package strictjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// repeats says by encoding/json's own tokens what checkNames finds by scanning:
// whether a name repeats within an object.
func repeats(t *testing.T, data []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(data))
	var open [][]string // nil stands for an array
	name := false
	for first := true; first || len(open) > 0; first = false {
		tok, err := dec.Token()
		require.NoError(t, err)
		switch tok {
		case json.Delim('{'):
			open = append(open, []string{})
		case json.Delim('['):
			open = append(open, nil)
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		default:
			if name {
				top := &open[len(open)-1]
				for _, s := range *top {
					if strings.EqualFold(s, tok.(string)) {
						return true
					}
				}
				*top, name = append(*top, tok.(string)), false
				continue
			}
		}
		name = len(open) > 0 && open[len(open)-1] != nil
	}
	return false
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{`{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"a":{"a":1},"b":["a","a",{"a":1}]}`, `{"a":"b:","\u0061":"\""}`,
		`{"a":{"b":{}},"a":1}`, `{"a":[{},{"x":1}],"x":2}`, `{"\\":1,"\\\"":2,"":3,"":4}`, ` { "a" : 1 , "b" : "a" } `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v map[string]any
		err := Decode(data, &v, Limits{Depth: 8, Names: 256})
		if v == nil || !json.Valid(data) || err != nil && !strings.Contains(err.Error(), "twice") {
			return
		}
		require.Equal(t, repeats(t, data), err != nil, "%v", err)
	})
}
