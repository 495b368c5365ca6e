package smdptest

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/iotregistry/sdk/mno"
	"github.com/iotregistry/sdk/mno/smdp"
	"github.com/iotregistry/sdk/registry/eid"
)

// filler gives every field a value of its own, whatever fields there are, so that
// one that is added to a record later is not forgotten by a store.
type filler struct {
	t *testing.T
	n int
}

// full returns a profile in which nothing is zero but Version.
func full(t *testing.T, iccid string, seed int) smdp.Profile {
	t.Helper()
	var p smdp.Profile
	f := filler{t: t, n: seed}
	f.fill("Profile", reflect.ValueOf(&p).Elem())
	p.ICCID, p.Version = iccid, 0
	return p
}

func (f *filler) fill(path string, v reflect.Value) {
	f.n++
	switch v.Interface().(type) {
	case time.Time: // to the nanosecond, and not in UTC
		at := time.Date(2026, 11, 25, 12, 0, 0, 123456789+f.n, time.FixedZone("", -4*3600))
		v.Set(reflect.ValueOf(at))
		return
	case eid.ID:
		v.Set(reflect.ValueOf(id(f.t, fmt.Sprintf("%016d", f.n))))
		return
	case mno.State:
		v.Set(reflect.ValueOf(mno.Released + mno.State(f.n%2)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("%s %d: \"é\" '😀' \\ \x7f <&>", path, f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(1)<<(v.Type().Bits()-2) + int64(f.n)) // no floating-point number is exact here
	case reflect.Uint8:
		v.SetUint(uint64(f.n * 31 % 251))
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(1)<<(v.Type().Bits()-1) + uint64(f.n))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(path, v.Elem())
	case reflect.Slice:
		f.fillSlice(path, v)
	case reflect.Array:
		for i := range v.Len() {
			f.fill(path, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	default:
		f.t.Fatalf("%s is a %v: teach smdptest to fill it", path, v.Type())
	}
}

// fillSlice makes bytes of all values, or three elements.
func (f *filler) fillSlice(path string, v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		b := make([]byte, 256)
		for i := range b {
			b[i] = byte(i + f.n)
		}
		v.SetBytes(b)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 3, 3))
	for i := range v.Len() {
		f.fill(fmt.Sprintf("%s %d", path, i), v.Index(i))
	}
}

// same wants two records to be equal but for the zone of a time. It names fields
// and does not show what is in them.
func same(t *testing.T, got, want smdp.Profile) {
	t.Helper()
	differ("Profile", reflect.ValueOf(got), reflect.ValueOf(want), func(path string) { t.Errorf("%s has not come back as it was put", path) })
}

func differ(path string, got, want reflect.Value, report func(path string)) {
	if at, ok := got.Interface().(time.Time); ok {
		if !at.Equal(want.Interface().(time.Time)) {
			report(path)
		}
		return
	}
	if _, ok := got.Interface().(eid.ID); !ok && got.Kind() == reflect.Struct {
		for i := range got.NumField() {
			differ(path+"."+got.Type().Field(i).Name, got.Field(i), want.Field(i), report)
		}
		return
	}
	if !reflect.DeepEqual(got.Interface(), want.Interface()) {
		report(path)
	}
}

func everyField(t *testing.T, s smdp.Store) {
	ps := []smdp.Profile{full(t, "1", 0), full(t, "2", 1000)}
	for range 3 {
		put(t, s, ps...)
		for i := range ps {
			ps[i].Version++
			same(t, find(t, s, smdp.Query{ICCID: ps[i].ICCID}), ps[i])
			same(t, find(t, s, smdp.Query{MatchingID: ps[i].MatchingID}), ps[i])
			same(t, find(t, s, smdp.Query{Device: ps[i].Device, ProfileID: ps[i].ProfileID}), ps[i])
			same(t, find(t, s, smdp.Query{EUICC: ps[i].EUICC}), ps[i])
			for _, id := range ps[i].Download.Transactions {
				same(t, find(t, s, smdp.Query{Transaction: id}), ps[i])
			}
			next := full(t, ps[i].ICCID, 5000*int(ps[i].Version)+1000*i)
			next.Version = ps[i].Version
			ps[i] = next
		}
	}
}

// unset is not the same as empty: no CodeHash means that there is no code.
func unset(t *testing.T, s smdp.Store) {
	for version := range uint64(2) {
		p := smdp.Profile{ICCID: "1", Version: version}
		put(t, s, p)
		p.Version++
		got := find(t, s, smdp.Query{ICCID: "1"})
		same(t, got, p)
		if !got.Changed.IsZero() {
			t.Errorf("Changed is %v", got.Changed)
		}
	}
}

func replaced(t *testing.T, s smdp.Store) {
	p := full(t, "1", 0)
	put(t, s, p)
	put(t, s, smdp.Profile{ICCID: "1", Version: 1})
	same(t, find(t, s, smdp.Query{ICCID: "1"}), smdp.Profile{ICCID: "1", Version: 2})
	for _, q := range []smdp.Query{{MatchingID: p.MatchingID}, {Device: p.Device}, {EUICC: p.EUICC}, {Transaction: p.Download.Transactions[0]}} {
		finds(t, s, q, "")
	}
	p.Version = 2
	put(t, s, p)
	p.Version = 3
	same(t, find(t, s, smdp.Query{ICCID: "1"}), p)
}

func copies(t *testing.T, s smdp.Store) {
	want := full(t, "1", 0)
	ps := []smdp.Profile{want, {ICCID: "2", Type: "second"}}
	put(t, s, ps...)
	ps[0].Type, ps[0].Download.CodeTries, ps[0].Sealed, ps[1] = "changed by its caller", 7, nil, smdp.Profile{}
	want.Version = 1
	got := find(t, s, smdp.Query{ICCID: "1"})
	same(t, got, want)
	got.Type, got.Failure, got.Download.Bound = "changed by its reader", nil, nil
	got.Download.Transactions = slices.Clip(got.Download.Transactions)
	got.Download.Transactions = append(got.Download.Transactions, "0F")
	same(t, find(t, s, smdp.Query{ICCID: "1"}), want)
	finds(t, s, smdp.Query{Transaction: "0F"}, "")
	if p := find(t, s, smdp.Query{ICCID: "2"}); p.Type != "second" {
		t.Errorf("the second record has type %q", p.Type)
	}
}

func large(t *testing.T, s smdp.Store) {
	p := full(t, "1", 0)
	for _, b := range []*[]byte{&p.Download.Bound, &p.Sealed} {
		*b = make([]byte, 1<<20)
		for i := range *b {
			(*b)[i] = byte(i * i >> 7)
		}
	}
	for range 2 {
		put(t, s, p)
		p.Version++
		same(t, find(t, s, smdp.Query{ICCID: "1"}), p)
	}
}
