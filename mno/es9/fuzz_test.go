package es9_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno/es9"
)

// Whatever arrives, the answer is well formed, and what the back end is given
// arrives unchanged when sent on by our own client.
func FuzzES9JSON(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	require.Len(f, files, 5)
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(f, err)
		for which := range calls {
			f.Add(byte(which), string(b))
		}
	}
	for _, s := range []string{`{}`, `[]`, `{"transactionId":null}`, `{"transactionId":"AB","cancelSessionResponse":"v0EA"}`, "\xff"} {
		f.Add(byte(3), s)
	}
	m := newMessages(f)
	f.Fuzz(func(t *testing.T, which byte, body string) {
		b := &backend{m: m}
		h := es9.NewHandler(b, nil)
		x := calls[int(which)%len(calls)]
		w := post(t, h, x.path, es9.TypeJSON, body)
		if w.Code == 200 {
			var o struct{ Header map[string]any }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &o))
			require.Contains(t, o.Header, "functionExecutionStatus")
		}
		resend(t, b, h, false)
	})
}

func FuzzES9ASN1(f *testing.F) {
	m := newMessages(f)
	b := &backend{m: m}
	var bodies []string
	c := inMemory(nil, true)
	c.HTTP.Transport = recorder{h: es9.NewHandler(b, nil), sent: &bodies}
	for _, x := range calls {
		_, err := x.do(f.Context(), c, m)
		require.NoError(f, err)
	}
	for _, s := range append(bodies, "", "\xA2\x00", "\xA2\x80", "\xA2\x84\xFF\xFF\xFF\xFF") {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b := &backend{m: m}
		h := es9.NewHandler(b, nil)
		w := post(t, h, es9.PathASN1, es9.TypeASN1, string(body))
		if w.Code == 200 {
			_, err := rsp.Decode[rsp.ES9Response](w.Body.Bytes())
			require.NoError(t, err)
		}
		resend(t, b, h, true)
	})
}

// recorder is a RoundTripper into a handler that keeps what was sent.
type recorder struct {
	h    http.Handler
	sent *[]string
}

func (r recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	*r.sent = append(*r.sent, string(b))
	q.Body = io.NopCloser(bytes.NewReader(b))
	return direct{r.h}.RoundTrip(q)
}

// resend sends what b got once more and compares what arrives then.
func resend(t *testing.T, b *backend, h http.Handler, asn1 bool) {
	if len(b.got) == 0 {
		return
	}
	var err error
	c := inMemory(h, asn1)
	switch v := b.got[0].(type) {
	case es9.InitiateAuthentication:
		_, err = c.InitiateAuthentication(t.Context(), v)
	case es9.AuthenticateClient:
		_, err = c.AuthenticateClient(t.Context(), v)
	case es9.GetBoundProfilePackage:
		_, err = c.GetBoundProfilePackage(t.Context(), v)
	case es9.CancelSession:
		err = c.CancelSession(t.Context(), v)
	case []byte:
		err = c.HandleNotification(t.Context(), v)
	}
	require.NoError(t, err)
	require.Len(t, b.got, 2)
	require.Equal(t, plain(b.got[0]), plain(b.got[1]))
}

func FuzzActivationCode(f *testing.F) {
	for _, s := range []string{"1$smdp.example$A", "LPA:1$smdp.example:8443$A-1$2.999.10$1", "1$a$$$1", "LPA:", "1$$$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := es9.ParseActivationCode(s)
		if err != nil {
			require.ErrorIs(t, err, es9.ErrActivationCode)
			return
		}
		text, err := c.Text()
		require.NoError(t, err)
		again, err := es9.ParseActivationCode(text)
		require.NoError(t, err)
		require.True(t, c == again)
	})
}

// Whatever a card answers, nothing panics, nothing is endless, and the channel is
// closed.
func FuzzCardAnswer(f *testing.F) {
	m := newMessages(f)
	for _, tag := range []uint16{0xBF20, 0xBF2E, 0xBF38, 0xBF21, 0xBF30, 0xBF41, 0xBF28, 0xBF2B, 0xBF2D, 0xBF3C, 0} {
		for _, b := range [][]byte{nil, m.installed, m.authenticate.Response, {0xBF, 0x2D, 2, 0xA0, 0}, {0xBF, 0x28, 3, 0x81, 1, 1}} {
			f.Add(tag, b, uint16(0x9000))
		}
		f.Add(tag, []byte{1}, uint16(0x6C00))
	}
	f.Fuzz(func(t *testing.T, tag uint16, answer []byte, sw uint16) {
		c := newCard(t, m)
		for _, known := range []bertlv.Tag{0xBF28, 0xBF2B, 0xBF2D, 0xBF3C, 0xBF3E} {
			c.refuses(known, 0x6A80)
		}
		c.piece, c.lax = 255, true
		say := func([]byte) ([]byte, int) { return answer, int(sw) }
		if tag == 0 {
			c.segment = func(int) ([]byte, int) { return answer, int(sw) }
		} else {
			c.answers[bertlv.Tag(tag)] = say
		}
		l := lpa(c, &backend{m: m})
		_, _ = l.Download(t.Context(), activation(), nil)
		_, _ = l.ProcessNotifications(t.Context())
		_, _ = l.ListProfiles(t.Context())
		_, _, _ = l.Addresses(t.Context())
		_, _ = l.EID(t.Context())
		require.Zero(t, c.open)
	})
}
