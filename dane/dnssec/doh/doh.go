// Package doh asks an upstream by DNS over HTTPS (RFC 8484), as an Exchanger of
// package dnssec. It stands apart so that programs without it need no HTTP.
//
//	r := &dnssec.Resolver{Exchanger: &doh.Client{URL: "https://dns.example/dns-query"}}
//
// HTTPS hides questions from the network. It does not make answers true: that
// is the validator's work.
package doh

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/miekg/dns"
)

const (
	mediaType  = "application/dns-message"
	maxMessage = 1<<16 - 1
)

// Client is a dnssec.Exchanger for one DNS over HTTPS server. It is safe for
// concurrent use.
type Client struct {
	// URL is where queries are posted. It should begin with https.
	URL string
	// HTTP sends the requests. Nil means a client of its own on the default
	// transport, which follows no redirects. Any client should keep
	// connections: queries come in bursts.
	HTTP *http.Client
	// Timeout is for one query, if the context allows it longer. Zero means 5 s.
	Timeout time.Duration
}

// String returns the URL.
func (c *Client) String() string { return c.URL }

// Exchange posts a query and returns the answer to it. The ID on the wire is 0
// so that caches work (RFC 8484 section 4.1); the DO and CD bits are set.
func (c *Client) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	m, err := c.exchange(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("doh: %w: %s: %w", dnssec.ErrUpstream, c.URL, err)
	}
	m.Id = q.Id
	return m, nil
}

func (c *Client) exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	asked := q.Copy()
	asked.Id, asked.CheckingDisabled = 0, true
	if opt := asked.IsEdns0(); opt != nil {
		opt.SetDo()
	} else {
		asked.SetEdns0(dns.DefaultMsgSize, true)
	}
	wire, err := asked.Pack()
	if err != nil {
		return nil, err
	}
	answer, err := c.post(ctx, wire)
	if err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil {
		return nil, err
	}
	if !m.Response || len(m.Question) != 1 || len(q.Question) != 1 || !same(m.Question[0], q.Question[0]) {
		return nil, fmt.Errorf("the answer is to another question")
	}
	return m, nil
}

func same(a, b dns.Question) bool {
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && dns.CanonicalName(a.Name) == dns.CanonicalName(b.Name)
}

func (c *Client) post(ctx context.Context, wire []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(wire))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Accept", mediaType)
	client := c.HTTP
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); res.StatusCode != http.StatusOK || kind != mediaType {
		return nil, fmt.Errorf("status %d, media type %q; want 200 and %s", res.StatusCode, kind, mediaType)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxMessage+1))
	if err == nil && len(answer) > maxMessage {
		err = fmt.Errorf("the answer has more than %d octets", maxMessage)
	}
	return answer, err
}
