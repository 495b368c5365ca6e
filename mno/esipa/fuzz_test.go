package esipa_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/internal/bertlv"
	"github.com/iotregistry/sdk/internal/rsp"
	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/esipa"
)

// recorder is a RoundTripper into a handler that keeps what was sent and what came.
type recorder struct {
	h              http.Handler
	sent, answered *[][]byte
}

func (r recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	*r.sent = append(*r.sent, b)
	q.Body = io.NopCloser(bytes.NewReader(b))
	res, err := direct{r.h}.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	if b, err = io.ReadAll(res.Body); err != nil {
		return nil, err
	}
	*r.answered = append(*r.answered, b)
	res.Body = io.NopCloser(bytes.NewReader(b))
	return res, nil
}

// exchanges are what all functions send and get.
func exchanges(t testing.TB) (sent, answered [][]byte) {
	b := &backend{m: newMessages(t)}
	c := inMemory(nil)
	c.HTTP.Transport = recorder{handler(b), &sent, &answered}
	for _, x := range calls {
		_, err := x.do(t.Context(), c, b.m)
		require.NoError(t, err)
	}
	return sent, answered
}

// Whatever arrives, the answer is well formed, and what the back end is given
// arrives unchanged when sent on by our own client.
func FuzzHandler(f *testing.F) {
	sent, _ := exchanges(f)
	for _, b := range append(sent, nil, []byte{0xBF, 0x4F, 0}, []byte{0xBF, 0x50, 0}, []byte{0xBF, 0x4F, 0x84, 0xFF, 0xFF, 0xFF, 0xFF}) {
		f.Add(b)
	}
	m := newMessages(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		b := &backend{m: m}
		w := post(t, handler(b), string(body))
		if w.Code == http.StatusOK {
			_, err := bertlv.Parse(w.Body.Bytes())
			require.NoError(t, err, hex.EncodeToString(w.Body.Bytes()))
		}
		if len(b.got) == 0 {
			return
		}
		resend(t, inMemory(handler(b)), b.got[0])
		require.Len(t, b.got, 2)
		require.EqualValues(t, plain(b.got[0]), plain(b.got[1]))
	})
}

func resend(t *testing.T, c *esipa.Client, v any) {
	var err error
	switch v := v.(type) {
	case esipa.Poll:
		_, err = c.GetEIMPackage(t.Context(), v)
	case esipa.Result:
		_, err = c.ProvideEIMPackageResult(t.Context(), v)
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
}

// Whatever an eIM answers, the client's errors are of the kinds that it promises,
// and what it returns is whole.
func FuzzClient(f *testing.F) {
	_, answered := exchanges(f)
	for n, b := range answered {
		f.Add(byte(n), b)
	}
	for n := range byte(6) {
		f.Add(n, []byte{0xBF, 0x4F, 3, 2, 1, 4})
		f.Add(n, []byte{0xBF, 0x50, 0})
	}
	m := newMessages(f)
	f.Fuzz(func(t *testing.T, which byte, body []byte) {
		x := calls[int(which)%len(calls)]
		got, err := x.do(t.Context(), answers(string(body), esipa.TypeASN1, http.StatusOK), m)
		if err != nil {
			var te *esipa.TransportError
			var se *mno.StatusError
			require.True(t, asAny(err, &te, &se), "%v", err)
			return
		}
		switch v := got.(type) {
		case []byte:
			_, err = bertlv.Parse(v)
		case es9.Authentication:
			require.NotEmpty(t, v.TransactionID)
			_, err = rsp.DecodeSignature(v.Signature1)
		case es9.Offer:
			require.NotEmpty(t, v.TransactionID)
			_, err = rsp.DecodeSignature(v.Signature2)
		case es9.Package:
			require.NotEmpty(t, v.TransactionID)
		}
		require.NoError(t, err)
	})
}

// Whatever a card answers, nothing panics, nothing is endless, and the channel is
// closed.
func FuzzCardAnswer(f *testing.F) {
	m := newMessages(f)
	for _, tag := range []uint16{0xBF20, 0xBF22, 0xBF28, 0xBF2B, 0xBF30, 0xBF38, 0xBF3C, 0xBF3E, 0xBF51, 0xBF55, 0xBF56, 0} {
		for _, b := range [][]byte{nil, m.installed, m.result.Object, {0xBF, 0x2B, 2, 0xA0, 0}, {0xBF, 0x2B, 3, 0x81, 1, 1}, {0xBF, 0x56, 3, 0x81, 1, 1}} {
			f.Add(tag, b, uint16(0x9000))
		}
		f.Add(tag, []byte{1}, uint16(0x6A80))
	}
	f.Add(uint16(0xBF2B), bertlv.Append(nil, 0xBF2B, bertlv.Append(nil, 0xA2, m.result.Object)), uint16(0x9000))
	f.Add(uint16(0xBF2B), bertlv.Append(nil, 0xBF2B, bertlv.Append(nil, 0xA0, m.installed)), uint16(0x9000))
	ask := encode(f, &rsp.IPAEUICCDataRequest{TagList: []byte{0xBF, 0x2B, 0x81, 0xBF, 0x20, 0x83, 0x84, 0xA5}})
	f.Fuzz(func(t *testing.T, tag uint16, answer []byte, sw uint16) {
		ipa, c, e, _ := bed(t, m.pkg, trigger(t, "1$"+address+"$M-1", 1), ask)
		if tag == 0 {
			c.segment = func() ([]byte, int) { return answer, int(sw) }
		} else {
			c.says(bertlv.Tag(tag), answer, int(sw))
		}
		r, _ := ipa.Poll(t.Context())
		_ = r.String()
		require.Zero(t, c.open)
		require.LessOrEqual(t, len(c.commands), 1000)
		for _, x := range e.results {
			_, err := bertlv.Parse(x.Object)
			require.NoError(t, err)
		}
	})
}

// Whatever an eIM wants done, it gets one well-formed result for it, and nothing
// panics.
func FuzzPackage(f *testing.F) {
	m := newMessages(f)
	for _, b := range [][]byte{
		m.pkg, nil, {0xBF, 0x77, 0}, {0xBF, 0x54, 0},
		encode(f, &rsp.IPAEUICCDataRequest{TagList: []byte{0xBF, 0x2B, 0x5A, 0x81, 0xBF, 0x20, 0xBF, 0x22, 0x83, 0x84, 0xA5, 0xA6, 0xA8, 0xA9}, ResultNumber: ptr(int64(1))}),
		trigger(f, "1$"+address+"$M-1", 1), encode(f, &rsp.ProfileDownloadTriggerRequest{DefaultSMDP: true}),
		asks(f, 2, rsp.PSMO{GetRAT: &rsp.Empty{}}),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ipa, c, e, _ := bed(t, b)
		r, err := ipa.Poll(t.Context())
		_ = r.String()
		require.Zero(t, c.open)
		if err != nil {
			return
		}
		require.Len(t, e.results, 1)
		_, err = rsp.Decode[rsp.ProvideEIMPackageResult](bertlv.Append(nil, 0xBF50, e.results[0].Object))
		require.NoError(t, err)
	})
}
