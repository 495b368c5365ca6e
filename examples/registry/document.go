package main

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// printConfig writes the defaults as a configuration file that says what each
// setting means.
func printConfig(w io.Writer) error {
	c := defaults()
	c.Operators = []operatorCfg{simulator}
	var b strings.Builder
	err := document(&b, reflect.ValueOf(c).Elem(), "")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, b.String()+"\n")
	return err
}

// document writes a value as JSON with the doc tags of its fields as comments.
func document(b *strings.Builder, v reflect.Value, indent string) error {
	inner := indent + "  "
	switch {
	case v.Kind() == reflect.Struct:
		b.WriteString("{\n")
		for i := range v.NumField() {
			field := v.Type().Field(i)
			fmt.Fprintf(b, "%s// %s\n%s%q: ", inner, field.Tag.Get("doc"), inner, field.Tag.Get("json"))
			if err := document(b, v.Field(i), inner); err != nil {
				return err
			}
			b.WriteString(comma(i, v.NumField()))
		}
		b.WriteString(indent + "}")
	case v.Kind() == reflect.Slice && v.Len() > 0 && v.Type().Elem().Kind() == reflect.Struct:
		b.WriteString("[")
		for i := range v.Len() {
			if err := document(b, v.Index(i), indent); err != nil {
				return err
			}
		}
		b.WriteString("]")
	default:
		text, err := json.Marshal(v.Interface())
		if err != nil {
			return err
		}
		b.Write(text)
	}
	return nil
}

func comma(i, n int) string {
	if i < n-1 {
		return ",\n"
	}
	return "\n"
}
