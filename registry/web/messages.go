package web

import (
	"fmt"

	"github.com/iotregistry/sdk/registry"
)

// EPP result codes of a poll (RFC 5730 section 3).
const (
	codeNoMessages = 1300
	codeMessages   = 1301
)

func (s *Server) messages(c *call) (messagesPage, error) {
	after, limit, err := c.page()
	if err != nil {
		return messagesPage{}, err
	}
	list, err := s.Registry.Messages(c.ctx, c.actor, after, limit)
	if err != nil {
		return messagesPage{}, err
	}
	out := messagesPage{Code: codeMessages, Messages: notNil(list)}
	if len(list) == 0 {
		out.Code = codeNoMessages
	}
	out.Next = c.next(len(list), limit, func() string { return list[len(list)-1].ID })
	return out, nil
}

func (s *Server) ack(c *call, in *ackBody) error {
	if len(in.IDs) == 0 {
		return fmt.Errorf("%w: ids names the messages that are dealt with", registry.ErrInvalid)
	}
	return s.Registry.Ack(c.ctx, c.actor, in.IDs...)
}
