package dnssec

import (
	"context"
	"errors"

	"github.com/miekg/dns"
)

// Client is an Exchanger for one upstream.
type Client struct {
	Addr string // host or host:port
}

// Exchange sends a query and returns its answer.
func (c *Client) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	return nil, errors.New("dnssec: not built yet")
}
