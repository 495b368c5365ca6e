package dnssec

type rrset struct{}
