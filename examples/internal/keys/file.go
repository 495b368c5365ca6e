package keys

import (
	"bytes"
	"context"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"go.step.sm/crypto/kms/apiv1"
	kmsuri "go.step.sm/crypto/kms/uri"
	"go.step.sm/crypto/pemutil"
)

// maxFile bounds a key or passphrase file; the largest useful one, an
// encrypted RSA-8192 key, is under 10 kB.
const maxFile = 64 << 10

// location is where a file key and its passphrase are.
type location struct{ path, passFile string }

// locate turns a URI or path into files, or says why it cannot.
func locate(ctx context.Context, uri string) (location, error) {
	if err := ctx.Err(); err != nil {
		return location{}, err
	}
	scheme, rest, isURI := strings.Cut(uri, ":")
	if !isURI || len(scheme) < 2 || strings.ContainsAny(scheme, `/\.`) { // a path; "C:" is a drive
		if uri == "" {
			return location{}, fmt.Errorf("%w: it is empty", ErrBadURI)
		}
		return location{path: uri}, nil
	}
	kind := apiv1.Type(strings.ToLower(scheme))
	if kind != "file" && kind != apiv1.SoftKMS {
		if kind.Validate() != nil {
			return location{}, fmt.Errorf("%w: unknown scheme %q; use a path, file:PATH or softkms:path=PATH", ErrBadURI, scheme)
		}
		return location{}, fmt.Errorf("%w: %s: these programs open file keys only; build them with go.step.sm/crypto/kms/%s", ErrNotBuiltIn, kind, kind)
	}
	u, err := kmsuri.Parse(uri)
	if err != nil {
		return location{}, fmt.Errorf("%w: %s cannot be parsed", ErrBadURI, name(uri))
	}
	if u.Has("pin-value") {
		return location{}, fmt.Errorf("%w: %s: a passphrase does not belong on a command line; use pin-source", ErrBadURI, name(uri))
	}
	loc := location{path: u.Get("path"), passFile: u.Get("pin-source")}
	if loc.path == "" && u.Path != "" && (u.Host == "" || u.Host == "localhost") {
		loc.path = u.Path
	}
	if loc.path == "" && len(rest) > 0 && !strings.ContainsAny(rest, "=;?") && u.Host == "" {
		loc.path = rest
	}
	if loc.path == "" {
		return location{}, fmt.Errorf("%w: %s names no file: write %s:path=FILE", ErrBadURI, name(uri), kind)
	}
	return loc, nil
}

// open reads and parses the key of uri. The file is read here, not by the key
// library, to bound it and to look at its mode.
func open(ctx context.Context, uri string) (crypto.PrivateKey, error) {
	loc, err := locate(ctx, uri)
	if err != nil {
		return nil, err
	}
	text, err := readPrivate(loc.path)
	if err != nil {
		return nil, err
	}
	var opts []pemutil.Options
	if loc.passFile != "" {
		pass, err := readPrivate(loc.passFile)
		if err != nil {
			return nil, fmt.Errorf("keys: passphrase of %s: %w", loc.path, err)
		}
		opts = append(opts, pemutil.WithPassword(bytes.TrimRight(pass, "\r\n")))
	}
	key, err := pemutil.Parse(text, opts...)
	switch {
	case err == nil:
	case encrypted(text):
		return nil, fmt.Errorf("%w: %s is encrypted: name its passphrase's file with ;pin-source=FILE", ErrPassphrase, loc.path)
	default: // the parser's text may quote the file, so it stays out
		return nil, fmt.Errorf("%w: %s is not one PEM private key", ErrBadKey, loc.path)
	}
	if _, private := key.(interface{ Public() crypto.PublicKey }); !private {
		return nil, fmt.Errorf("%w: %s holds no private key", ErrBadKey, loc.path)
	}
	return key, nil
}

func encrypted(text []byte) bool {
	block, _ := pem.Decode(text)
	return block != nil && (strings.HasPrefix(block.Type, "ENCRYPTED") || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"))
}

func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, path)
	}
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("keys: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrBadKey, path)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("%w: %s has mode %04o: chmod 600 it", ErrExposed, path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrBadKey, path, maxFile)
	}
	return text, nil
}

// writeNew stores key at path, whole or not at all, and only if nothing is
// there: the file is written beside its place and linked into it.
func writeNew(path string, key crypto.PrivateKey) error {
	block, err := pemutil.Serialize(key, pemutil.WithPKCS8(true))
	if err != nil {
		return fmt.Errorf("keys: encode the new key of %s: %w", path, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(pem.EncodeToMemory(block))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	err = os.Link(tmp.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", ErrExists, path)
	}
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// name is uri without what might be secret in it.
func name(uri string) string {
	for _, secret := range []string{"pin-value=", "pin-source="} {
		if at := strings.Index(uri, secret); at >= 0 {
			uri = uri[:at] + secret + "..."
		}
	}
	return uri
}
