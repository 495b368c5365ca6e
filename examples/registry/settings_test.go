package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := once(t, "-h")
	require.Zero(t, code)
	require.Empty(t, stderr)
	golden(t, "usage.txt", stdout)
}

// TestPrintConfig: what it prints is a configuration file that changes nothing,
// and every setting is explained.
func TestPrintConfig(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := once(t, "-print-config")
	require.Zero(t, code, stderr)
	golden(t, "config.json", stdout)
	c := defaults()
	require.NoError(t, c.parse([]byte(stdout)))
	want, err := (&flags{}).settings()
	require.NoError(t, err)
	want.Operators = []operatorCfg{simulator}
	require.Equal(t, want, c)
	documented(t, reflect.TypeFor[config]())
}

func documented(t *testing.T, s reflect.Type) {
	t.Helper()
	for i := range s.NumField() {
		f := s.Field(i)
		require.NotEmpty(t, f.Tag.Get("doc"), "%s.%s", s, f.Name)
		require.NotEmpty(t, f.Tag.Get("json"), "%s.%s", s, f.Name)
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner.PkgPath() == s.PkgPath() {
			documented(t, inner)
		}
	}
}

// TestRefuses: what is wrong is told before anything is made, with status 2.
func TestRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ config, tells string }{
		"unknown member":         {`{"zones": "a.example"}`, "zones"},
		"unknown inner member":   {`{"dns": {"port": 53}}`, "port"},
		"member twice":           {`{"zone": "a.example", "zone": "b.example"}`, "zone"},
		"something after it":     {`{} {}`, "more after"},
		"no object":              {`[]`, "not a JSON object"},
		"wrong type":             {`{"work": 5}`, "work"},
		"no duration":            {`{"work": "soon"}`, "soon"},
		"no time at all":         {`{"work": "0s"}`, "work must be above zero"},
		"final dot":              {`{"zone": "iotregistry.example."}`, "final dot"},
		"no port":                {`{"listen": "localhost"}`, "no host:port"},
		"half a certificate":     {`{"tls": {"cert": "a.pem"}}`, "both cert and key"},
		"no certificate":         {`{"tls": {"cert": "none.pem", "key": "none.pem"}}`, "none.pem"},
		"operator without a way": {`{"operators": [{"account": "telco"}]}`, "es2 or simulate"},
		"operator twice":         {`{"operators": [{"account": "t", "simulate": true}, {"account": "t", "simulate": true}]}`, "once"},
		"ES2+ in clear":          {`{"operators": [{"account": "t", "es2": "http://smdp.example"}]}`, "https"},
		"ES2+ without proof":     {`{"operators": [{"account": "t", "es2": "https://smdp.example"}]}`, "cert and key"},
		"negative rate":          {`{"rate": {"perSecond": -1, "burst": 1}}`, "rate"},
		"negative time":          {`{"policy": {"overlap": "-1h"}}`, "negative"},
		"log format":             {`{"log": {"format": "xml", "level": "info"}}`, "text or json"},
		"log level":              {`{"log": {"format": "text", "level": "loud"}}`, "debug, info"},
		"wrong account":          {`{"accounts": [{"id": "x", "role": "king"}]}`, "has no role"},
		"public rdap base":       {`{"rdap": {"base": "not a URL"}}`, "URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "config.json")
			require.NoError(t, os.WriteFile(path, []byte(c.config), 0o600))
			code, stdout, stderr := once(t, "-config", path, "-data", filepath.Join(dir, "data"), "-dns", "127.0.0.1:0", "-metrics", "127.0.0.1:0", "-listen", listenFor(c.config))
			require.Equal(t, 2, code, stderr)
			require.Empty(t, stdout)
			require.Contains(t, stderr, c.tells)
		})
	}
}

// listenFor leaves the address to the configuration where that is the case.
func listenFor(config string) string {
	if strings.Contains(config, "listen") {
		return ""
	}
	return "127.0.0.1:0"
}

func TestWrongCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, tells string }{
		{"frob", "frob"}, {"init init", "init"}, {"-frob", "frob"}, {"-config none.json", "none.json"}, {"maker none.csv", "none.csv"},
		{"-log-level loud", "debug, info"},
	} {
		code, stdout, stderr := once(t, strings.Fields(c.args)...)
		require.Equal(t, 2, code, c.args)
		require.Empty(t, stdout)
		require.Contains(t, stderr, c.tells)
	}
}

// TestCannotStart: what is no mistake of the settings is status 1, and passwords
// stay out of what is told.
func TestCannotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	require.NoError(t, os.Mkdir(open, 0o755))
	for name, c := range map[string]struct {
		args  []string
		tells string
	}{
		"folder open to others": {[]string{"-data", open}, "chmod 700"},
		"no such database":      {[]string{"-data", filepath.Join(dir, "a"), "-store", "postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=1"}, "store"},
		"no DSN":                {[]string{"-data", filepath.Join(dir, "b"), "-store", "postgres://u:hunter2@[/x"}, "store"},
		"database in no folder": {[]string{"-data", filepath.Join(dir, "c"), "-store", filepath.Join(dir, "none", "x.db")}, "store"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := once(t, append(c.args, "-listen", "127.0.0.1:0", "-dns", "127.0.0.1:0", "-metrics", "127.0.0.1:0")...)
			require.Equal(t, 1, code, stderr)
			require.Empty(t, stdout)
			require.Contains(t, stderr, c.tells)
			require.NotContains(t, stderr, "hunter2")
		})
	}
}

func TestFlagsOverride(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte("// a comment\n{\n  // another\n  \"zone\": \"a.example\", \"metrics\": \"\", \"operators\": []\n}\n"), 0o600))
	c, err := (&flags{config: path, zone: "b.example"}).settings()
	require.NoError(t, err)
	require.Equal(t, "b.example", c.Zone)
	require.Empty(t, c.Metrics, "none was wanted")
	require.Empty(t, c.Operators, "not even the simulated one")
	require.Equal(t, defaults().Listen, c.Listen)
}

// FuzzConfig: no file makes the program fail but by an error.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{
		"{}", "// a comment\n{\"zone\": \"a.example\"}", `{"operators": [{"account": "t", "es2": "https://%zz"}]}`, `{"work": "1h"}`, `{"rate": {"perSecond": 1e400}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := defaults()
		if err := c.parse(text); err == nil {
			_ = c.check()
		}
	})
}
