// Package fieldtest fills and compares records for the suites that check stores,
// whatever fields the records have, so that one that is added later is not
// forgotten by a store.
package fieldtest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/iotregistry/sdk/registry/eid"
)

// Fill gives every field of *v a value of its own, which seed makes others of.
func Fill(t *testing.T, v any, seed int) {
	t.Helper()
	f := filler{t: t, n: seed}
	to := reflect.ValueOf(v).Elem()
	f.fill(to.Type().Name(), to)
}

type filler struct {
	t *testing.T
	n int
}

func (f *filler) fill(path string, v reflect.Value) {
	f.n++
	switch v.Interface().(type) {
	case time.Time: // to the nanosecond, and not in UTC
		at := time.Date(2026, 11, 25, 12, 0, 0, 123456789+f.n, time.FixedZone("", -4*3600))
		v.Set(reflect.ValueOf(at))
		return
	case eid.ID:
		id, err := eid.Parse(fmt.Sprintf("%016d", f.n))
		if err != nil {
			f.t.Fatalf("fieldtest: %v", err)
		}
		v.Set(reflect.ValueOf(id))
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
		f.t.Fatalf("%s is a %v: teach fieldtest to fill it", path, v.Type())
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

// Same wants two records to be equal but for the zones of times. It names fields
// and does not show what is in them.
func Same(t *testing.T, got, want any) {
	t.Helper()
	differ(reflect.TypeOf(want).Name(), reflect.ValueOf(got), reflect.ValueOf(want), func(path string) {
		t.Helper()
		t.Errorf("%s has not come back as it was put", path)
	})
}

func differ(path string, got, want reflect.Value, report func(path string)) {
	if at, ok := got.Interface().(time.Time); ok {
		if !at.Equal(want.Interface().(time.Time)) {
			report(path)
		}
		return
	}
	_, leaf := got.Interface().(eid.ID)
	_, bytes := got.Interface().([]byte)
	switch {
	case got.Kind() == reflect.Struct && !leaf:
		for i := range got.NumField() {
			differ(path+"."+got.Type().Field(i).Name, got.Field(i), want.Field(i), report)
		}
	case got.Kind() == reflect.Pointer && !got.IsNil() && !want.IsNil():
		differ(path, got.Elem(), want.Elem(), report)
	case got.Kind() == reflect.Slice && !bytes && got.Len() == want.Len() && got.IsNil() == want.IsNil():
		for i := range got.Len() {
			differ(fmt.Sprintf("%s %d", path, i), got.Index(i), want.Index(i), report)
		}
	case !reflect.DeepEqual(got.Interface(), want.Interface()):
		report(path)
	}
}
