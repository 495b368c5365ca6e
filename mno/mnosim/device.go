package mnosim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/registry/eid"
)

// ErrNothing means that no newer profile waits for the device.
var ErrNothing = errors.New("mnosim: no newer profile for this device")

// Device is a device's side of the seam. It is an [es9.Downloader] and safe for
// concurrent use. It does not retry: call again after a [*CallError] that is
// retryable.
type Device struct {
	// BaseURL is the operator's server for devices. Required.
	BaseURL string

	// HTTP does the requests and holds the roots to verify the operator by; nil
	// means http.DefaultClient.
	HTTP *http.Client

	// Device is the device's own ID. Required.
	Device eid.ID
}

var _ es9.Downloader = (*Device)(nil)

// CallError reports that the operator did not do what was asked.
type CallError struct {
	Status int    // HTTP status, zero where there was no answer
	Text   string // what the operator said, cut short
	Err    error  // why there was no answer; nil with a Status
}

// Error gives status and text, or the cause.
func (e *CallError) Error() string {
	if e.Err != nil {
		return "mnosim: " + e.Err.Error()
	}
	return fmt.Sprintf("mnosim: operator answered HTTP %d: %s", e.Status, e.Text)
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// Retryable reports whether the same call may succeed later.
func (e *CallError) Retryable() bool {
	return e.Status >= 500 || e.Err != nil && !errors.Is(e.Err, context.Canceled)
}

// Fetch returns the newest sealed profile that waits for the device and has a
// profile ID above after, or ErrNothing. The operator may have sent anything:
// open it (package profile) before believing it.
func (d *Device) Fetch(ctx context.Context, after uint64) (sealed []byte, profileID uint64, err error) {
	status, body, err := d.post(ctx, PathDownload, downloadRequest{DeviceID: d.Device.String(), AfterProfileID: after})
	if err != nil {
		return nil, 0, err
	}
	if status == http.StatusNoContent {
		return nil, 0, ErrNothing
	}
	var a downloadAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, 0, &CallError{Status: status, Text: "the answer is no JSON of ours: " + clip(err.Error())}
	}
	if a.ProfileID <= after || len(a.Sealed) == 0 {
		return nil, 0, &CallError{Status: status, Text: fmt.Sprintf("the answer holds no profile newer than %d", after)}
	}
	return a.Sealed, a.ProfileID, nil
}

// Installed reports that the profile is installed, or with a failure that it is
// not; up to 200 bytes of the failure's text reach the registry, so it must not
// hold secrets.
func (d *Device) Installed(ctx context.Context, profileID uint64, failure error) error {
	req := installedRequest{DeviceID: d.Device.String(), ProfileID: profileID, OK: failure == nil}
	if failure != nil {
		req.Error = clip(failure.Error())
	}
	_, _, err := d.post(ctx, PathInstalled, req)
	return err
}

func (d *Device) post(ctx context.Context, path string, v any) (int, []byte, error) {
	if d.BaseURL == "" || d.Device.IsZero() {
		return 0, nil, errors.New("mnosim: set BaseURL and Device of the Device")
	}
	data, err := json.Marshal(v)
	if err != nil {
		return 0, nil, fmt.Errorf("mnosim: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(d.BaseURL, "/")+path, bytes.NewReader(data))
	if err != nil {
		return 0, nil, fmt.Errorf("mnosim: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	client := d.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(r)
	if err != nil {
		return 0, nil, &CallError{Err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, nil, &CallError{Err: err}
	case len(body) > maxAnswer:
		return 0, nil, &CallError{Status: res.StatusCode, Text: fmt.Sprintf("the answer is larger than %d bytes", maxAnswer)}
	case res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent:
		return 0, nil, &CallError{Status: res.StatusCode, Text: clip(strings.TrimSpace(string(body)))}
	}
	return res.StatusCode, body, nil
}
