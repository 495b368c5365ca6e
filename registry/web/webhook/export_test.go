package webhook

import (
	"net/netip"
	"time"
)

// Public reports whether a webhook may be at a.
func Public(a netip.Addr) bool { return public(a) }

// Pause is how long n waits after so many failures.
func (n *Notifier) Pause(failures int) time.Duration { return n.pause(failures) }
