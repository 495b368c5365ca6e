package limit

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Header tells the account's limit and what is left of it, in the fields of
// draft-ietf-httpapi-ratelimit-headers-10: the policy's q is the burst and w the
// seconds in which an empty bucket fills; r is what could be called at once now
// and t the seconds until the bucket is full.
//
//	RateLimit-Policy: "account";q=200;w=4
//	RateLimit: "account";r=150;t=1
func (l *Limiter) Header(h http.Header, account string) {
	tokens, full := l.Remaining(account)
	window := l.capacity
	if l.closed {
		window = forever
	}
	h.Set("RateLimit-Policy", fmt.Sprintf(`"account";q=%d;w=%s`, l.burst, Seconds(window)))
	h.Set("RateLimit", fmt.Sprintf(`"account";r=%d;t=%s`, tokens, Seconds(full)))
}

// Seconds writes d as whole seconds, rounded up, as Retry-After has them (RFC 9110
// section 10.2.3): who waits for that long does not come too early.
func Seconds(d time.Duration) string {
	d = max(d, 0)
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return strconv.FormatInt(s, 10)
}
