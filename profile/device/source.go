package device

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/profile/iotsafe"
)

// Credentials are the profile in use as a device's runtime needs it, wherever it
// lies: who the device is, and where its provider listens.
type Credentials struct {
	ProfileID   uint64
	Name        string              // owner name of the device's DNS records, in its certificate
	Registry    string              // the registry's name, which is its zone
	Certificate tls.Certificate     // of the device with the issuer's; the key may be on a card
	CAs         []*x509.Certificate // of the registry: issuer first, root last
	Host        string              // where the provider (ASP) listens
	Port        uint16
	ASP         []*x509.Certificate // CAs that the provider's certificate must chain to; nil: its TLSA records alone decide
}

// same reports whether two profiles are one.
func (c *Credentials) same(o *Credentials) bool {
	if c == nil || o == nil || c == o {
		return c == o
	}
	equal := (*x509.Certificate).Equal
	return c.ProfileID == o.ProfileID && c.Name == o.Name && c.Registry == o.Registry && c.Host == o.Host && c.Port == o.Port &&
		slices.EqualFunc(c.Certificate.Certificate, o.Certificate.Certificate, bytes.Equal) &&
		slices.EqualFunc(c.CAs, o.CAs, equal) && slices.EqualFunc(c.ASP, o.ASP, equal)
}

// Source is where a device has its profile: [FromEUICC] and [FromApplet] make
// one, or a maker's own secure element does.
type Source interface {
	// Load returns the profile in use. ErrNoProfile means that there is none yet.
	Load(ctx context.Context) (*Credentials, error)

	// Wait returns nil when the profile in use may be another than c, nil for none,
	// or else the error of ctx.
	Wait(ctx context.Context, c *Credentials) error
}

// FromEUICC returns the profiles that a card of package euicc has opened. Signer is
// the key of profiles that come without one because the card made it; nil where
// all bring theirs.
func FromEUICC(card *euicc.Card, signer crypto.Signer) Source { return &opened{card, signer} }

type opened struct {
	card   *euicc.Card
	signer crypto.Signer
}

func (o *opened) Load(context.Context) (*Credentials, error) {
	p, ok := o.card.Current()
	if !ok {
		return nil, ErrNoProfile
	}
	return CredentialsOf(p, o.signer)
}

// CredentialsOf reads an opened profile. Signer is the key of one that came
// without.
func CredentialsOf(p *profile.Profile, signer crypto.Signer) (*Credentials, error) {
	if len(p.PrivateKey) > 0 {
		signer = nil
	}
	own, err := p.TLSCertificate(signer)
	if err != nil {
		return nil, err
	}
	cas, err := p.CAs()
	if err != nil {
		return nil, err
	}
	c := &Credentials{ProfileID: p.ID, Name: p.Name, Registry: p.Registry, Certificate: own, CAs: cas, Host: p.Host, Port: p.Port}
	for _, der := range p.ASPCertificates {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("device: provider's CA in profile %d: %w", p.ID, err)
		}
		c.ASP = append(c.ASP, ca)
	}
	return c, nil
}

// Wait takes a profile that cannot be used for another one too: c is not in use any
// more.
func (o *opened) Wait(ctx context.Context, c *Credentials) error {
	p, ok := o.card.Current()
	if !ok && c != nil {
		return nil
	}
	if ok {
		now, err := CredentialsOf(p, o.signer)
		if err == nil && !now.same(c) || err != nil && c != nil {
			return nil
		}
	}
	if err := o.card.Wait(ctx, p); err != nil {
		return fmt.Errorf("device: %w", err)
	}
	return nil
}

// Errors of an [Applet] whose profile is whole and must not be used.
var (
	ErrForeign  = errors.New("device: the certificate is of another registry; is it another registry's card?")
	ErrUnsigned = errors.New("device: the registry has not signed where the card's provider listens, or who it is")
)

// Applet is a [Source] on an IoT SAFE applet: the profile that the registry has put
// into the containers of its card, whose key never leaves it.
type Applet struct {
	Client   *iotsafe.Client // required
	Registry string          // whose profiles count; required

	// Signed demands that the registry's issuer has signed where the provider
	// listens (container 9), and the provider's CA where there is one (container
	// 10). Without it, whoever can write to the card, or is between it and this
	// program, can send the device to a provider of his own, whose TLSA records are
	// as good as any: they say who a host is, not whose device it may have. With it,
	// to another provider of the same registry at most, since the signature names no
	// device. Set it wherever the registry's cards have these containers; those that
	// a card fills from a sealed profile (see package applet) have not.
	Signed bool

	// Every is how often the card is asked whether its profile is another, where it
	// does not say so by itself; a card only speaks when asked. Zero: a minute.
	Every time.Duration

	mu   sync.Mutex
	last loaded // what the card held when it was read last
}

type loaded struct {
	credentials *Credentials
	err         error
}

// settled reports whether the card has given an answer that counts until it says
// that something has changed.
func (l *loaded) settled() bool { return l.credentials != nil || replaced(l.err) }

// FromApplet returns the profiles that an IoT SAFE applet holds, of one registry.
func FromApplet(c *iotsafe.Client, registry string) *Applet {
	return &Applet{Client: c, Registry: registry}
}

// Load implements [Source].
func (a *Applet) Load(ctx context.Context) (*Credentials, error) {
	c, err := a.load(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = loaded{c, err}
	return c, err
}

func (a *Applet) load(ctx context.Context) (*Credentials, error) {
	p, err := a.Client.Profile(ctx)
	if errors.Is(err, iotsafe.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", ErrNoProfile, err)
	}
	if err != nil {
		return nil, err
	}
	if a.Signed && (!p.EndpointSigned || p.ASP != nil && !p.ASPSigned) {
		return nil, ErrUnsigned
	}
	for _, name := range p.Leaf().DNSNames {
		id, _, err := dane.ParseDeviceName(name, a.Registry)
		if err != nil {
			continue
		}
		own := p.Certificate
		if key, ok := own.PrivateKey.(crypto.Signer); ok {
			own.PrivateKey = steady{key}
		}
		c := &Credentials{
			ProfileID: id, Name: name, Registry: a.Registry, Certificate: own, CAs: p.Registry, Host: p.Host, Port: p.Port,
		}
		if p.ASP != nil {
			c.ASP = []*x509.Certificate{p.ASP}
		}
		return c, nil
	}
	return nil, fmt.Errorf("%w: no device of %s", ErrForeign, a.Registry)
}

// steady signs once more where the card says that the registry has changed
// something: it does so in answer to the first command that comes. A signature of
// a key that is not the certificate's any more does not pass the client's check.
type steady struct{ crypto.Signer }

func (s steady) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := s.Signer.Sign(rand, digest, opts)
	if errors.Is(err, iotsafe.ErrChanged) {
		signature, err = s.Signer.Sign(rand, digest, opts)
	}
	return signature, err
}

// Wait implements [Source]. A card that cannot be read, or holds nothing whole, may
// still have c in use. Reading takes a card seconds, so it begins with what was read
// last: what has changed since, the client tells.
func (a *Applet) Wait(ctx context.Context, c *Credentials) error {
	every := a.Every
	if every <= 0 {
		every = time.Minute
	}
	a.mu.Lock()
	last := a.last
	a.mu.Unlock()
	for ; ; last = (loaded{}) {
		if !last.settled() {
			last.credentials, last.err = a.Load(ctx)
		}
		if last.err == nil && !last.credentials.same(c) || c != nil && replaced(last.err) {
			return nil
		}
		err := last.err
		turn, cancel := context.WithTimeout(ctx, every)
		if a.Client.Changed(turn) == nil && errors.Is(err, iotsafe.ErrChanged) { // it says so whatever it is asked
			<-turn.Done()
		}
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("device: %w", context.Cause(ctx))
		}
	}
}

// replaced reports whether a card has answered that its profile is none to be used.
func replaced(err error) bool {
	return errors.Is(err, ErrNoProfile) || errors.Is(err, ErrForeign) || errors.Is(err, ErrUnsigned)
}
