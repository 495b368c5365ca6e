package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// MessageType says what a message is about.
type MessageType string

// The messages that accounts find in their queues (RFC 5730 section 2.9.2.3).
const (
	MessageTransferRequested MessageType = "transferRequested" // to the losing ASP and the owner
	MessageTransferApproved  MessageType = "transferApproved"
	MessageTransferRejected  MessageType = "transferRejected"
	MessageTransferCancelled MessageType = "transferCancelled"
	MessageTransferUndone    MessageType = "transferUndone"
	MessageCodeLocked        MessageType = "authCodeLocked" // somebody tried too many wrong codes
	MessageProfileDelivered  MessageType = "profileDelivered"
	MessageProfileFailed     MessageType = "profileFailed"
	MessageStatusChanged     MessageType = "statusChangedByServer"
	MessageCertExpiring      MessageType = "certificateExpiring"
	MessageDeviceDeleted     MessageType = "deviceDeleted"
	MessageKeyEnrolled       MessageType = "keyEnrolled" // a device has a new key, which its next profile certifies
	MessageJobDone           MessageType = "jobDone"
)

// Message is one entry of an account's queue. It stays there until its account
// acknowledges it, and is told again until then.
type Message struct {
	ID      string            `json:"id"` // for Ack
	Account string            `json:"-"`
	Type    MessageType       `json:"type"`
	Time    time.Time         `json:"time"` // of the event; invisible before it
	Device  eid.ID            `json:"device,omitzero"`
	Subject string            `json:"subject,omitempty"` // a transfer or job
	By      string            `json:"by,omitempty"`      // account that did it
	Why     string            `json:"why,omitempty"`
	Case    string            `json:"case,omitempty"` // RFC 8590
	Detail  map[string]string `json:"detail,omitempty"`
}

// toEach addresses m to accounts, to each once and to no one without a name.
func toEach(m Message, accounts ...string) []Message {
	var out []Message
	for i, a := range accounts {
		if a != "" && !slices.Contains(accounts[:i], a) {
			m.Account = a
			out = append(out, m)
		}
	}
	return out
}

// Notify puts messages into their accounts' queues in the transaction of what
// they tell, so that each event is told once. A message with a time in the
// future waits for it. One that carries an ID can be taken back by it with
// [Registry.Unsay]; it must be unique for its account and time.
func (r *Registry) Notify(ctx context.Context, tx Tx, msgs ...Message) error {
	if len(msgs) == 0 {
		return nil
	}
	now := r.now()
	base, err := r.newID(now)
	if err != nil {
		return err
	}
	recs := make([]Record, len(msgs))
	for i, m := range msgs {
		if m.Time.IsZero() {
			m.Time = now
		}
		if m.ID == "" {
			m.ID = fmt.Sprintf("%s-%06d", base, i)
		}
		recs[i] = Record{Key: messageKey(m.Account, m.Time, m.ID), Parent: m.Account, Body: encode(m)}
	}
	return tx.Put(ctx, TableMessages, recs...)
}

// Unsay takes messages back that nobody has seen because their time is still to
// come: only Account, Time and ID of each count.
func (r *Registry) Unsay(ctx context.Context, tx Tx, msgs ...Message) error {
	keys := make([]string, len(msgs))
	for i, m := range msgs {
		keys[i] = messageKey(m.Account, m.Time, m.ID)
	}
	return tx.Delete(ctx, TableMessages, keys...)
}

func messageKey(account string, t time.Time, id string) string {
	return account + "/" + stampOf(t) + "/" + id
}

// Messages returns up to limit messages of the actor's account, oldest first,
// after the given ID ("" from the start). They stay until they are acknowledged.
func (r *Registry) Messages(ctx context.Context, actor Actor, after string, limit int) ([]Message, error) {
	if err := may(actor, opPoll, nil); err != nil {
		return nil, &Error{Op: opPoll, Err: err}
	}
	prefix := actor.Account + "/"
	q := Query{Parent: actor.Account, After: prefix + after, Limit: limit}
	var out []Message
	err := r.store.View(ctx, func(tx Tx) error {
		out = out[:0]
		recs, err := tx.List(ctx, TableMessages, q)
		for _, rec := range recs {
			id := strings.TrimPrefix(rec.Key, prefix)
			if id > stampOf(r.now())+"/\xff" {
				break // and all that follow are of the future too
			}
			var m Message
			if err := decode(rec, &m); err != nil {
				return err
			}
			m.ID, m.Account = id, actor.Account
			out = append(out, m)
		}
		return err
	})
	if err != nil {
		return nil, &Error{Op: opPoll, Err: err}
	}
	return out, nil
}

// Ack removes messages that the actor has dealt with from its queue. An ID that
// is no visible message of its account is refused with ErrInvalid, and then none
// is removed, except that one which was acknowledged before is no error when
// others are: an answer may have been lost.
func (r *Registry) Ack(ctx context.Context, actor Actor, ids ...string) error {
	err := may(actor, opPoll, nil)
	if err == nil {
		err = r.store.Update(ctx, func(tx Tx) error { return r.ack(ctx, tx, actor, ids) })
	}
	if err != nil {
		return &Error{Op: opPoll, Err: err}
	}
	return nil
}

const maxMessageID = 128 // bytes

func (r *Registry) ack(ctx context.Context, tx Tx, actor Actor, ids []string) error {
	keys := make([]string, len(ids))
	for i, id := range ids {
		stamp, name, ok := strings.Cut(id, "/")
		odd := len(id) > maxMessageID || strings.ContainsFunc(id, func(r rune) bool { return r < '!' || r > '~' })
		if !ok || odd || name == "" || len(stamp) != len(stampOf(r.now())) || stamp > stampOf(r.now()) {
			return fmt.Errorf("%w: %.80q is no message of yours", ErrInvalid, id)
		}
		keys[i] = actor.Account + "/" + id
	}
	recs, err := tx.Get(ctx, TableMessages, keys...)
	if err != nil {
		return err
	}
	if len(recs) == 0 && len(keys) > 0 {
		return fmt.Errorf("%w: no such message in your queue", ErrInvalid)
	}
	return tx.Delete(ctx, TableMessages, keys...)
}
