package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/mno/mnosim"
	"github.com/iotregistry/sdk/profile/euicc"
	"github.com/iotregistry/sdk/registry/eid"
)

func mnoBench() bench {
	return bench{
		name: "mno", short: "Measure the operator: a bound profile package from the SM-DP+ into the eUICC, and a thousand downloads at once",
		setup: func(fs *flag.FlagSet) func(context.Context, *report) error {
			b := &mnoRun{}
			fs.IntVar(&b.rounds, "rounds", 300, "downloads that are measured one after the other")
			fs.IntVar(&b.size, "size", 11_000, "octets of the profile")
			fs.IntVar(&b.crowd, "crowd", 1000, "downloads at the same time")
			return b.run
		},
	}
}

// mnoRun is one run of the bench.
type mnoRun struct{ rounds, size, crowd int }

func (b *mnoRun) run(ctx context.Context, r *report) error {
	if b.rounds < 1 || b.size < 16 || b.size > mno.MaxSealed || b.crowd < 1 || b.crowd > 10_000 {
		return usageError{fmt.Errorf("flags must be above zero, -size at most %d and -crowd at most 10000", mno.MaxSealed)}
	}
	if err := b.one(ctx, r); err != nil {
		return err
	}
	return b.many(ctx, r)
}

const smdpAddress = "smdp.example"

// order has a profile of the bench's size wait for the n-th device.
func (b *mnoRun) order(ctx context.Context, op *mnosim.Operator, device eid.ID) error {
	_, err := op.Engine().Operator("bench").Order(ctx, mno.Order{Device: device, ProfileID: 1, ProfileType: "iot", Sealed: make([]byte, b.size)})
	return err
}

// newChip makes an eUICC of the operator's PKI.
func newChip(op *mnosim.Operator, n int) (*euicc.Chip, error) {
	id, err := eid.New(fmt.Sprintf("89049032%022d", n))
	if err != nil {
		return nil, err
	}
	own, err := op.EUICC(id)
	if err != nil {
		return nil, err
	}
	return euicc.NewChip(euicc.ChipConfig{EID: id, Certificate: own.Certificate, EUM: own.EUM, Key: own.Key, CIs: own.CIs})
}

// one measures what begins when the device has agreed to a profile and ends with
// the SM-DP+ knowing that it is installed, in this process without HTTP.
func (b *mnoRun) one(ctx context.Context, r *report) error {
	s := r.section("package", fmt.Sprintf("Bind, deliver and install a profile of %d octets: %d downloads in this process", b.size, b.rounds))
	op, err := mnosim.New(mnosim.Config{Address: smdpAddress})
	if err != nil {
		return err
	}
	bare, err := newBarePackage(b.size)
	if err != nil {
		return err
	}
	var whole, ours, least time.Duration
	apdus := 0
	for n := range b.rounds {
		chip, err := newChip(op, n)
		if err != nil {
			return err
		}
		if err := b.order(ctx, op, chip.EID()); err != nil {
			return err
		}
		begin := cpuTime()
		bare.pass()
		least += cpuTime() - begin
		counted := &counting{Transport: chip}
		lpa := es9.LPA{Card: counted, Chunk: 255, Dial: func(string) (es9.Backend, error) { return op.Server(), nil }}
		begin = cpuTime()
		var agreed time.Duration
		result, err := lpa.Download(ctx, es9.ActivationCode{Address: smdpAddress}, func(es9.Metadata) (string, error) {
			agreed = cpuTime()
			return "", nil
		})
		if err = errors.Join(err, result.Unsent); err != nil {
			return err
		}
		end := cpuTime()
		whole, ours, apdus = whole+end-begin, ours+end-agreed, counted.n
	}
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.rounds) }
	s.goal("bind_deliver_install_ratio", ratio(ours, least), "x", 3, "CPU over that of its bare cryptography")
	s.add("bind_deliver_install", per(ours), "µs", "CPU of both sides, from consent to the receipt")
	s.add("bare", per(least), "µs", "CPU of 5 verifications, 3 signatures, 2 keys, 2 agreements, AES-CBC and CMAC on both sides")
	s.add("download", per(whole), "µs", "CPU of both sides with mutual authentication")
	s.add("apdus", float64(apdus), "", "command APDUs of 255 octets")
	return nil
}

// counting counts APDUs.
type counting struct {
	es9.Transport
	n int
}

func (c *counting) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.n++
	return c.Transport.Transmit(ctx, command)
}

// barePackage is the cryptography that SGP.22 asks for, done by the standard
// library and nothing around it.
type barePackage struct {
	key       *ecdsa.PrivateKey
	peer      *ecdh.PrivateKey
	digest    [32]byte
	signature []byte
	block     cipher.Block
	in, out   []byte
}

func newBarePackage(size int) (*barePackage, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	b := &barePackage{key: key, peer: peer, digest: sha256.Sum256(nil), in: make([]byte, size/16*16), out: make([]byte, size/16*16)}
	if b.signature, err = ecdsa.SignASN1(rand.Reader, key, b.digest[:]); err != nil {
		return nil, err
	}
	b.block, err = aes.NewCipher(make([]byte, 16))
	return b, err
}

// pass is one package: CERT.DPpb, smdpSignature2, euiccSignature2, smdpSign and
// euiccSignPIR are verified, and the last three are made; each side makes a key,
// agrees on the secret, and works on each octet twice.
func (b *barePackage) pass() {
	for range 5 {
		_ = ecdsa.VerifyASN1(&b.key.PublicKey, b.digest[:], b.signature)
	}
	for range 3 {
		_, _ = ecdsa.SignASN1(rand.Reader, b.key, b.digest[:])
	}
	iv := make([]byte, aes.BlockSize)
	for range 2 {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err == nil {
			_, _ = key.ECDH(b.peer.PublicKey())
		}
		cipher.NewCBCEncrypter(b.block, iv).CryptBlocks(b.out, b.in)
		cipher.NewCBCEncrypter(b.block, iv).CryptBlocks(b.out, b.in) // what a CMAC is
	}
}
