package es9

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/iotregistry/sdk/internal/rsp"
)

// deliver sends one notification to its server, which is dialled where it is
// nil, and then removes it from the eUICC.
func (l *LPA) deliver(ctx context.Context, c *channel, server Backend, raw []byte, m *rsp.NotificationMetadata) error {
	if server == nil {
		if !isAddress(m.Address) {
			return fmt.Errorf("es9: notification %d has no address to go to", m.SeqNumber)
		}
		var err error
		if server, err = l.dial(m.Address); err != nil {
			return err
		}
	}
	if err := server.HandleNotification(ctx, raw); err != nil {
		return fmt.Errorf("es9: notification %d: %w", m.SeqNumber, err)
	}
	r, err := function10[rsp.NotificationSentResponse](ctx, c, "RemoveNotificationFromList", &rsp.NotificationSentRequest{SeqNumber: m.SeqNumber})
	if err != nil {
		return err
	}
	if r.Status != 0 && r.Status != 1 { // 1: it is not there, which is as good
		return &CardError{Function: "RemoveNotificationFromList", Reason: fmt.Sprintf("error %d", r.Status)}
	}
	return nil
}

// ProcessNotifications sends what the eUICC has to tell its profiles' servers:
// what was installed, enabled, disabled and deleted. Sent ones are removed from
// the eUICC. It returns how many; the error joins those of the rest, which stay
// for the next call. After a failure, later notifications for the same server
// wait, so that each server hears things in their order.
func (l *LPA) ProcessNotifications(ctx context.Context) (sent int, err error) {
	err = l.with(ctx, func(c *channel) error {
		list, err := function10[rsp.ListNotificationResponse](ctx, c, "ListNotification", &rsp.ListNotificationRequest{})
		if err != nil {
			return err
		}
		if list.Error != nil {
			return &CardError{Function: "ListNotification", Reason: fmt.Sprintf("error %d", *list.Error)}
		}
		slices.SortStableFunc(list.List, func(a, b rsp.NotificationMetadata) int { return cmp.Compare(a.SeqNumber, b.SeqNumber) })
		var failed []error
		silent := map[string]bool{}
		for i := range list.List {
			m := &list.List[i]
			address := strings.ToLower(m.Address)
			if silent[address] {
				continue
			}
			if err := l.process(ctx, c, m); err != nil {
				failed, silent[address] = append(failed, err), true
				continue
			}
			sent++
		}
		return errors.Join(failed...)
	})
	return sent, err
}

func (l *LPA) process(ctx context.Context, c *channel, m *rsp.NotificationMetadata) error {
	const name = "RetrieveNotificationsList"
	r, err := function10[rsp.RetrieveNotificationsResponse](ctx, c, name, &rsp.RetrieveNotificationsRequest{SeqNumber: &m.SeqNumber})
	switch {
	case err != nil:
		return err
	case r.Error != nil:
		return &CardError{Function: name, Reason: fmt.Sprintf("error %d", *r.Error)}
	case len(r.List) != 1:
		return &CardError{Function: name, Err: errors.New("not one notification of this number")}
	}
	raw, err := r.List[0].Encode()
	if err != nil {
		return &CardError{Function: name, Err: err}
	}
	return l.deliver(ctx, c, nil, raw, m)
}
