package dnssec

// SystemFrom is the default Exchanger with another resolv.conf.
func SystemFrom(path string) Exchanger { return &system{path: path} }
