package web

import "sync"

// shares are places that accounts hold for a while, each at most half of them, so
// that no account keeps all others out.
type shares struct {
	max int

	mu    sync.Mutex
	taken int
	by    map[string]int
}

func newShares(most int) *shares { return &shares{max: most, by: map[string]int{}} }

// take gives the account a place until back is called; ok is false where none is
// left for it.
func (s *shares) take(account string) (back func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.max || s.by[account] >= (s.max+1)/2 {
		return nil, false
	}
	s.taken++
	s.by[account]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken--
		if s.by[account]--; s.by[account] == 0 {
			delete(s.by, account)
		}
	}, true
}
