package limit

// Size returns how many buckets l keeps.
func Size(l *Limiter) int { return l.size() }
