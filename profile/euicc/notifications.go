package euicc

import (
	"slices"
	"strings"

	"github.com/iotregistry/sdk/internal/rsp"
)

// maxPending bounds the notifications that wait. All of them, with certificates,
// are one answer that an LPA has to parse.
const maxPending = 64

// notification waits to be delivered.
type notification struct{ rsp.PendingNotification }

func (c *Chip) nextSequence() int64 {
	c.sequence++
	c.changed++
	return c.sequence
}

// notices makes the notifications of an event for everybody that the profile's
// metadata names, but for the address except, which is told otherwise. A nil p
// has none.
func (c *Chip) notices(p *installed, event rsp.Events, except string) ([]notification, error) {
	var list []notification
	if p == nil {
		return nil, nil
	}
	for _, wish := range p.metadata.Notifications {
		if wish.Events&event == 0 || except != "" && strings.EqualFold(wish.Address, except) {
			continue
		}
		n := &rsp.OtherSignedNotification{
			Notification: rsp.NotificationMetadata{
				SeqNumber: c.nextSequence(), Event: event, Address: wish.Address, ICCID: &p.metadata.ICCID,
			},
			EUICCCertificate: c.cfg.Certificate, EUMCertificate: c.cfg.EUM,
		}
		text, err := n.Notification.SignedText()
		if err != nil {
			return nil, err
		}
		if n.Signature, err = c.sign(text); err != nil {
			return nil, err
		}
		list = append(list, notification{rsp.PendingNotification{Other: n}})
	}
	return list, nil
}

// keep puts notifications to those that wait. Of too many the oldest are dropped,
// as on a card whose memory for them is full, and receipts after all others:
// profiles may have as many of those as they like, and nothing else tells that a
// download is done.
func (c *Chip) keep(list []notification) {
	c.pending = append(slices.Clone(c.pending), list...)
	for len(c.pending) > maxPending {
		i := max(0, slices.IndexFunc(c.pending, func(n notification) bool { return n.Installation == nil }))
		c.pending = slices.Delete(c.pending, i, i+1)
	}
}

func (c *Chip) listNotifications(q *rsp.ListNotificationRequest) (rsp.Message, error) {
	r := &rsp.ListNotificationResponse{List: []rsp.NotificationMetadata{}}
	for _, n := range c.pending {
		if m := n.Metadata(); q.Events == nil || m.Event&*q.Events != 0 {
			r.List = append(r.List, *m)
		}
	}
	return r, nil
}

func (c *Chip) retrieveNotifications(q *rsp.RetrieveNotificationsRequest) (rsp.Message, error) {
	if q.PackageResults {
		return &rsp.RetrieveNotificationsResponse{Packages: c.resultsOf(nil)}, nil
	}
	if q.SeqNumber != nil { // notifications and results have one row of numbers
		if found := c.resultsOf(q.SeqNumber); len(found) > 0 {
			return &rsp.RetrieveNotificationsResponse{Packages: found}, nil
		}
	}
	r := &rsp.RetrieveNotificationsResponse{List: []rsp.PendingNotification{}}
	for _, n := range c.pending {
		m := n.Metadata()
		if q.SeqNumber != nil && m.SeqNumber != *q.SeqNumber || q.Events != nil && m.Event&*q.Events == 0 {
			continue
		}
		r.List = append(r.List, n.PendingNotification)
	}
	return r, nil
}

func (c *Chip) removeNotification(q *rsp.NotificationSentRequest) (rsp.Message, error) {
	for i, n := range c.pending {
		if n.Metadata().SeqNumber == q.SeqNumber {
			c.pending = append(c.pending[:i:i], c.pending[i+1:]...)
			c.changed++
			return &rsp.NotificationSentResponse{}, nil
		}
	}
	if c.removeResult(q.SeqNumber) {
		return &rsp.NotificationSentResponse{}, nil
	}
	return &rsp.NotificationSentResponse{Status: 1}, nil // nothing to delete
}
