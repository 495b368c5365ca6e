package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/iotregistry/sdk/mno/es9"
	"github.com/iotregistry/sdk/profile"
)

// print writes v as JSON, or text.
func (d *device) print(v any, text string) error {
	if d.flags.json {
		return json.NewEncoder(d.stdout).Encode(v)
	}
	_, err := fmt.Fprint(d.stdout, text)
	return err
}

type infoResult struct {
	EID       string `json:"eid"`
	SMDP      string `json:"default_smdp"`
	SMDS      string `json:"root_smds"`
	Free      int    `json:"free_bytes"`
	PublicKey string `json:"public_key,omitempty"`
}

func (d *device) info(ctx context.Context, _ []string) error {
	var r infoResult
	var err error
	if r.EID, err = d.lpa.EID(ctx); err != nil {
		return err
	}
	if r.SMDP, r.SMDS, err = d.lpa.Addresses(ctx); err != nil {
		return err
	}
	r.Free = d.chip.Free()
	key, err := d.file.Opener()
	if err != nil {
		return fmt.Errorf("%s: %w", d.flags.card, err)
	}
	text := fmt.Sprintf("EID            %s\ndefault SM-DP+ %s\nroot SM-DS     %s\nfree           %d bytes\n", r.EID, r.SMDP, r.SMDS, r.Free)
	if key != nil {
		r.PublicKey = profile.FormatPublicKey(key.PublicKey())
		text += "public key     " + r.PublicKey + "\n"
	}
	return d.print(r, text)
}

type downloadResult struct {
	ICCID    string `json:"iccid"`
	Provider string `json:"service_provider"`
	Name     string `json:"profile_name"`
	Told     bool   `json:"smdp_told"` // that it is installed
}

func (d *device) download(ctx context.Context, args []string) error {
	code, err := d.code(ctx, args)
	if err != nil {
		return err
	}
	r, err := d.lpa.Download(ctx, code, func(es9.Metadata) (string, error) { return d.flags.code, nil })
	switch {
	case errors.Is(err, es9.ErrNeedsCode):
		return fmt.Errorf("%w, and give it with -code", err)
	case err != nil:
		return d.cause(err)
	}
	if r.Unsent != nil {
		fmt.Fprintf(d.stderr, "device: the SM-DP+ does not know yet that it is installed (device notifications tries again): %v\n", r.Unsent)
	}
	m := r.Metadata
	return d.print(downloadResult{m.ICCID, m.ServiceProvider, m.ProfileName, r.Unsent == nil},
		fmt.Sprintf("%s installed, disabled: %s, %s\n", m.ICCID, shown(m.ServiceProvider), shown(m.ProfileName)))
}

// cause adds what the card says of a profile that it did not install: what goes
// over the air are numbers.
func (d *device) cause(err error) error {
	var refused *es9.InstallationError
	if errors.As(err, &refused) && d.chip.InstallError() != nil {
		return fmt.Errorf("%w: %w", err, d.chip.InstallError())
	}
	return err
}

// code is the activation code of the command line, or one that leaves it to the
// default SM-DP+ what the eUICC may download (SGP.22 section 3.3).
func (d *device) code(ctx context.Context, args []string) (es9.ActivationCode, error) {
	if len(args) > 0 {
		code, err := es9.ParseActivationCode(args[0])
		if err != nil {
			return code, usageError{err}
		}
		return code, nil
	}
	address, _, err := d.lpa.Addresses(ctx)
	if err == nil && address == "" {
		err = errors.New("the card has no default SM-DP+: give an activation code")
	}
	return es9.ActivationCode{Address: address}, err
}

type profileResult struct {
	ICCID    string     `json:"iccid"`
	Enabled  bool       `json:"enabled"`
	Provider string     `json:"service_provider"`
	Name     string     `json:"profile_name"`
	IoT      *iotResult `json:"iot,omitempty"`
}

// iotResult is what may be seen of an IoT profile.
type iotResult struct {
	ID       uint64 `json:"id"`
	Registry string `json:"registry"`
	Name     string `json:"name"`
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
}

type profilesResult struct {
	Profiles []profileResult `json:"profiles"`
	Opens    string          `json:"opens"` // the registry whose IoT profiles are opened; empty for none
}

func (d *device) profiles(ctx context.Context, _ []string) error {
	list, err := d.lpa.ListProfiles(ctx)
	if err != nil {
		return err
	}
	iot := map[string]*profile.Profile{}
	for _, p := range d.chip.Profiles() {
		iot[p.ICCID] = p.IoT
	}
	r := profilesResult{Profiles: []profileResult{}, Opens: d.flags.registry}
	for _, p := range list {
		one := profileResult{ICCID: p.ICCID, Enabled: p.Enabled, Provider: p.ServiceProvider, Name: p.ProfileName}
		if in := iot[p.ICCID]; in != nil {
			one.IoT = &iotResult{in.ID, in.Registry, in.Name, in.Host, in.Port}
		}
		r.Profiles = append(r.Profiles, one)
	}
	return d.print(r, r.text())
}

func (r *profilesResult) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, p := range r.Profiles {
		state := "disabled"
		if p.Enabled {
			state = "enabled"
		}
		iot := "-"
		if p.IoT != nil {
			iot = fmt.Sprintf("IoT profile %d of %s: %s:%d", p.IoT.ID, shown(p.IoT.Registry), shown(p.IoT.Host), p.IoT.Port)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.ICCID, state, shown(p.Provider), shown(p.Name), iot)
	}
	_ = w.Flush() // into memory
	if len(r.Profiles) == 0 {
		b.WriteString("no profiles\n")
	}
	if r.Opens == "" {
		b.WriteString("IoT profiles are left alone: -registry and -registry-ca open them\n")
	}
	return b.String()
}

func (d *device) enable(ctx context.Context, args []string) error {
	return d.change(ctx, args[0], "enabled", func(iccid string) error { return d.lpa.Enable(ctx, iccid, false) })
}

func (d *device) disable(ctx context.Context, args []string) error {
	if len(args) == 0 {
		for _, p := range d.chip.Profiles() {
			if p.Enabled {
				args = []string{p.ICCID}
			}
		}
		if len(args) == 0 {
			return errors.New("no profile is enabled")
		}
	}
	return d.change(ctx, args[0], "disabled", func(iccid string) error { return d.lpa.Disable(ctx, iccid, false) })
}

func (d *device) remove(ctx context.Context, args []string) error {
	return d.change(ctx, args[0], "deleted", func(iccid string) error { return d.lpa.Delete(ctx, iccid) })
}

func (d *device) change(_ context.Context, iccid, state string, do func(iccid string) error) error {
	iccid = strings.TrimRight(iccid, "Ff") // as some write 19 digits
	if len(iccid) < 18 || len(iccid) > 20 || strings.Trim(iccid, "0123456789") != "" {
		return usagef("an ICCID has 18 to 20 digits")
	}
	err := do(iccid)
	if errors.Is(err, es9.ErrWrongState) {
		return fmt.Errorf("%s: %w: device profiles shows it", iccid, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", iccid, err)
	}
	return d.print(map[string]string{"iccid": iccid, "state": state}, iccid+" "+state+"\n")
}

func (d *device) notifications(ctx context.Context, _ []string) error {
	sent, err := d.lpa.ProcessNotifications(ctx)
	return errors.Join(err, d.print(map[string]int{"sent": sent}, fmt.Sprintf("%d notifications sent\n", sent)))
}

// shown makes an SM-DP+'s text fit for a terminal.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7F && r < 0xA0 || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, s)
}
