package main

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	"github.com/miekg/dns"

	"github.com/iotregistry/sdk/dane"
	"github.com/iotregistry/sdk/dane/dnssec"
	"github.com/iotregistry/sdk/mno/eim"
	"github.com/iotregistry/sdk/profile"
	"github.com/iotregistry/sdk/profile/device"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/eid"
)

// prove prints one negative and keeps whether it held.
func (s *story) prove(key, text string, held bool, why error) {
	s.report.Proofs[key] = held
	mark := "✓"
	if !held {
		mark = "✗"
	}
	s.out.Printf("     %s %s", mark, text)
	if !held {
		s.out.Printf("       got: %v", why)
	}
}

// wrongCode shows that a wrong authorization code changes nothing.
func (s *story) wrongCode(ctx context.Context) error {
	id := s.rows[0].ID
	before, err := s.reg.Device(ctx, registryRoot, id)
	if err != nil {
		return err
	}
	wrong, err := registry.ParseAuthCode("00000-00000-00000-00000-00000-0")
	if err != nil {
		return err
	}
	results, err := s.moves.Request(ctx, s.carPark.actor, registry.Options{}, registry.Move{Device: id, Code: wrong})
	if err != nil {
		return err
	}
	after, err := s.reg.Device(ctx, registryRoot, id)
	if err != nil {
		return err
	}
	held := errors.Is(results[0].Err, registry.ErrAuthCode) &&
		after.Sponsor == before.Sponsor && after.Profile == before.Profile && after.Updated.Equal(before.Updated)
	s.prove("wrong_code", "a wrong authorization code changes nothing", held, results[0].Err)
	return nil
}

// keepOldProfiles has a few meters remember what they connected with first, as
// a thief of old profiles would.
func (s *story) keepOldProfiles() {
	for _, m := range s.meters[:min(3, len(s.meters))] {
		m.old, _ = m.card.Current()
	}
}

// copySealed keeps what the operator has of the first meter's profile before it
// is delivered, and forgotten.
func (s *story) copySealed(ctx context.Context) error {
	if len(s.meters) == 0 {
		return nil
	}
	m := s.meters[0]
	p, err := s.op.sim.Engine().Pending(ctx, m.id)
	m.sealed = p.Sealed
	return err
}

func (s *story) proofs(ctx context.Context) error {
	if len(s.meters) == 0 {
		return nil
	}
	s.out.Printf("Proofs, most of what must not work:")
	for _, proof := range []func(context.Context) error{s.oldProfiles, s.sealedElsewhere, s.flippedSignature, s.signedReceipts} {
		if err := proof(ctx); err != nil {
			return err
		}
	}
	return nil
}

// oldProfiles tries to go on with superseded profiles: the meter itself sees
// that they are withdrawn, and ParkoServ turns one away that does not care.
func (s *story) oldProfiles(ctx context.Context) error {
	var denied, refused int
	var why error
	tried := 0
	for _, m := range s.meters {
		if m.old == nil {
			continue
		}
		tried++
		leaf, err := m.old.Leaf()
		if err != nil {
			return err
		}
		if _, err := m.device.Verifier.Device(ctx, m.old.Name, leaf); errors.Is(err, dane.ErrAbsent) {
			denied++
		} else {
			why = fmt.Errorf("profile %d: %w", m.old.ID, err)
		}
		if err := m.insist(ctx); isRefusal(err) {
			refused++
		} else {
			why = fmt.Errorf("profile %d at ParkoServ: %w", m.old.ID, err)
		}
	}
	s.report.OldProfileRefused = refused
	s.prove("old_denied", fmt.Sprintf("the DNS denies the old CERT of %d meters, validated from the root", denied), denied == tried, why)
	s.prove("old_refused", fmt.Sprintf("ParkoServ refuses %d meters with their old profiles", refused), refused == tried, why)
	return nil
}

// insist connects with the old profile without asking the DNS about it.
func (m *meter) insist(ctx context.Context) error {
	old, err := device.CredentialsOf(m.old, m.key)
	if err != nil {
		return err
	}
	conn, err := dialTLS(ctx, m.device.DialContext, old.Host, old.Port, m.device.TLSConfig(old))
	if err != nil {
		return err
	}
	defer conn.Close()
	return putStatus(ctx, conn, "Stolen")
}

// isRefusal tells a TLS alert from the other side from any other trouble.
func isRefusal(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// sealedElsewhere takes a sealed profile as the operator had it and tries to
// open it where it does not belong.
func (s *story) sealedElsewhere(ctx context.Context) error {
	m := s.meters[0]
	sealed := m.sealed
	parsed, err := profile.ParseSealed(sealed)
	if err != nil {
		return err
	}
	other, err := newKey()
	if err != nil {
		return err
	}
	trust := device.Trust(ctx, m.device.Verifier, registryZone)
	_, err = parsed.Open(other, profile.OpenOptions{Device: m.id, Registry: registryZone, Trust: trust})
	s.prove("other_key", "the operator's copy of a sealed profile does not open with another device's key", errors.Is(err, profile.ErrOpen), err)

	thief := sameLength(m.id)
	card, err := euicc.New(euicc.Config{ID: thief, Key: other, Registry: registryZone})
	if err != nil {
		return err
	}
	_, errAsIs := card.Install(sealed, trust)
	relabelled := bytes.Replace(sealed, []byte(m.id.String()), []byte(thief.String()), 1)
	_, errRelabelled := card.Install(relabelled, trust)
	held := errors.Is(errAsIs, profile.ErrDevice) && errors.Is(errRelabelled, profile.ErrSignature)
	s.prove("other_device", "nor for another device ID, as it is or relabelled", held, errors.Join(errAsIs, errRelabelled))
	return nil
}

// sameLength returns another device ID with as many digits as id.
func sameLength(id eid.ID) eid.ID {
	for n := 0; ; n++ {
		text := fmt.Sprintf("%0*d", len(id.String()), n)
		if id.Kind() == eid.EID {
			if other, err := eid.New(fmt.Sprintf("89049032%022d", n)); err == nil && other != id {
				return other
			}
		}
		if other, err := eid.Parse(text); err == nil && other != id {
			return other
		}
	}
}

func newKey() (hpke.PrivateKey, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return hpke.NewDHKEMPrivateKey(key)
}

// flippedSignature damages one bit of the signature over a meter's CERT record
// on its way to the meter, which then must not connect.
func (s *story) flippedSignature(ctx context.Context) error {
	m := s.meters[0]
	v := s.world.verifier(flip{&dnssec.Client{Addr: s.world.server.Addr()}})
	d := &device.Device{Source: m.device.Source, Verifier: v, DialContext: dialer(v.Resolver)}
	conn, err := d.Dial(ctx)
	if err == nil {
		conn.Close()
	}
	s.prove("flipped_signature", "a flipped bit in the CERT record's RRSIG keeps the meter from connecting", errors.Is(err, dane.ErrBogus), err)
	return nil
}

// flip is an upstream that flips a bit in every signature over CERT records.
type flip struct{ dnssec.Exchanger }

func (f flip) Exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	m, err := f.Exchanger.Exchange(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, rr := range m.Answer {
		if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered == dns.TypeCERT {
			b := []byte(sig.Signature) // base64: another first letter is another first byte
			if b[0]++; b[0] > 'Z' || b[0] < 'A' {
				b[0] = 'A'
			}
			sig.Signature = string(b)
		}
	}
	return m, nil
}

// signedReceipts asks the operator's eIM what it knows of a few eUICCs: what they
// have signed, and nothing else, ends a job as done.
func (s *story) signedReceipts(ctx context.Context) error {
	held, jobs := true, 0
	for _, m := range s.meters[:min(3, len(s.meters))] {
		status, err := s.op.sim.EIM().Status(ctx, m.chip.EID())
		if err != nil {
			return err
		}
		for _, job := range status.Done {
			held = held && job.Proven && job.State == eim.Succeeded
			jobs++
		}
		held = held && len(status.Waiting) == 0 && len(status.Done) == 4
	}
	s.prove("signed_receipts", fmt.Sprintf("the operator has the eUICCs' signed results of %d downloads and enablings", jobs), held, nil)
	return nil
}
