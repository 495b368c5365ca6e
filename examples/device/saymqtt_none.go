//go:build nomqtt

package main

import "errors"

// mqtt says that this binary cannot.
func (l *live) mqtt() (sayer, error) {
	return nil, errors.New("-say mqtt: this binary was built with -tags nomqtt")
}
