// Package rdap answers who answers for a device, in the way registries answer it
// for domain names: the Registration Data Access Protocol (RFC 7480, RFC 9082,
// RFC 9083).
//
//	lookup, err := rdap.New(rdap.Config{Engine: reg, Base: "https://iotregistry.ca/rdap/", Actor: who})
//	mux.Handle("/rdap/", lookup)
//
// It serves GET and HEAD of
//
//	/rdap/device/{id}           a device, by its ID or its handle
//	/rdap/iotreg_0_device/{id}  the same, under the name that RFC 9082 section 5 asks for
//	/rdap/help                  what this is (RFC 9083 section 7)
//
// # The object
//
// RDAP has no class for devices, so this is an extension, "iotreg_0": an object of
// the class "device", whose members are those of RFC 9083 and
//
//	iotreg_0_model, iotreg_0_modelVersion  as in the owner's list
//	iotreg_0_mno                           account of the operator that delivers to it
//	iotreg_0_euiccKey                      the eUICC's key-agreement key
//
// Its handle is the device ID with the registry's tag (RFC 8521), ldhName the
// device's name in the DNS, status the EPP statuses by RFC 8056, the registrar is
// the sponsor and the registrant the owner. The event "expiration" is the end of
// the current certificate, "deletion" the time from which a deleted device will be
// unknown here.
//
// # Who sees what
//
// Who may read a device in the engine sees all of it. For everybody else
// [Config.Public] decides. Where it is false, which is the zero value, nobody can
// find out which devices exist: without a known account each look-up is answered
// 401, whatever it asks for, and an account is told 404 of a device that is not
// its own as of one that does not exist. Where it is true, everybody sees the
// handle, name, statuses, events and sponsor; the owner, model, operator and key
// are removed and listed as redacted (RFC 9537), whether or not there are any.
//
// # What this does not protect from
//
// Device IDs can be guessed one by one: set Limit where Public is true. The DNS
// tells the name of a device to whoever knows its ID and profile.
package rdap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// ContentType is of all answers (RFC 7480 section 4.2).
const ContentType = "application/rdap+json"

// Defaults of Config.
const (
	DefaultTag    = "IOTREG"
	DefaultMaxAge = time.Minute
)

// ErrConfig says that a look-up cannot be made of a Config.
var ErrConfig = errors.New("the look-up's configuration is wrong")

// Engine is what a look-up needs of a [registry.Registry].
type Engine interface {
	Device(ctx context.Context, actor registry.Actor, id eid.ID) (*registry.Device, error)      // one that actor may see
	Profiles(ctx context.Context, actor registry.Actor, id eid.ID) ([]*registry.Profile, error) // of a device
	Account(ctx context.Context, actor registry.Actor, id string) (*registry.Account, error)    // for its name
}

// Config is what a Handler is made of. Engine is required.
type Config struct {
	Engine Engine

	// Actor says who asks; false, and nil, mean nobody that is known.
	Actor func(*http.Request) (registry.Actor, bool)

	// Public shows everybody that a device exists, and what is public of it.
	Public bool

	// Limit, where given, is asked before each look-up; the actor is zero for
	// nobody. Where it says no, the answer is 429 and says when to come again.
	Limit func(*http.Request, registry.Actor) (ok bool, retryAfter time.Duration)

	// Base is the https URL under which the world finds /rdap/, with that, for
	// links: "https://iotregistry.ca/rdap/". Empty means no links.
	Base string

	Tag     string           // of handles, letters and digits, as registered with IANA (RFC 8521); empty means DefaultTag
	MaxAge  time.Duration    // how long public answers may be cached; 0 means DefaultMaxAge
	Notices []Notice         // in every answer: terms of use, how to complain
	Now     func() time.Time // nil means time.Now
	Logger  *slog.Logger     // for what went wrong inside; nil means none
}

// Handler answers look-ups. It is safe for concurrent use; make one with [New].
type Handler struct{ cfg Config }

var tagOK = regexp.MustCompile(`^[A-Za-z0-9]{1,32}$`)

// New checks the configuration and returns a Handler; an error wraps ErrConfig.
func New(cfg Config) (*Handler, error) {
	if cfg.Tag == "" {
		cfg.Tag = DefaultTag
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = DefaultMaxAge
	}
	base, err := url.Parse(cfg.Base)
	switch {
	case cfg.Engine == nil:
		return nil, fmt.Errorf("rdap: %w: Engine is required", ErrConfig)
	case !tagOK.MatchString(cfg.Tag):
		return nil, fmt.Errorf("rdap: %w: Tag has 1 to 32 letters and digits", ErrConfig)
	case cfg.MaxAge < 0:
		return nil, fmt.Errorf("rdap: %w: MaxAge must not be negative", ErrConfig)
	case cfg.Base != "" && (err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || !strings.HasSuffix(cfg.Base, "/")):
		return nil, fmt.Errorf("rdap: %w: Base is a URL with a host that ends in /", ErrConfig)
	}
	for _, n := range cfg.Notices {
		if len(n.Description) == 0 { // RFC 9083 section 4.3
			return nil, fmt.Errorf("rdap: %w: notice %q has no description", ErrConfig, n.Title)
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{cfg}, nil
}
