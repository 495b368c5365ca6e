package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/iotregistry/sdk/registry"
)

// notice is all that a call says.
type notice struct {
	Account  string `json:"account"`
	Messages bool   `json:"messages"`
}

// call makes one call. What the webhook answers is not read beyond its status, and
// its URL is in no error: some are secrets.
func (n *Notifier) call(ctx context.Context, a *registry.Account) error {
	if !strings.HasPrefix(a.Webhook, "https://") {
		return fmt.Errorf("webhook: %w: it is no https URL", ErrAddress)
	}
	body, err := json.Marshal(notice{Account: a.ID, Messages: true})
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Webhook, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("webhook: %w", withoutURL(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "iotregistry-webhook")
	resp, err := n.client.Do(req)
	if err != nil {
		return fmt.Errorf("webhook: %w", withoutURL(err))
	}
	_ = resp.Body.Close() // unread: nothing in it matters, and its connection ends
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return fmt.Errorf("webhook: %w (%d)", ErrRedirect, resp.StatusCode)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return fmt.Errorf("webhook: %w (%d)", ErrStatus, resp.StatusCode)
	}
	return nil
}

// withoutURL is the cause in an error of net/http, which names the URL.
func withoutURL(err error) error {
	var with *url.Error
	if errors.As(err, &with) {
		return with.Err
	}
	return err
}
