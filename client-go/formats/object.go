package formats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Object is a JSON object that keeps the order of its names, so that a model reads its own arguments and items
// as it wrote them. The values are *Object, []any, string, json.Number, bool and nil.
type Object struct {
	members []member
}

type member struct {
	name  string
	value any
}

// Field is a name and a value of an Object.
type Field struct {
	Name  string
	Value any
}

// NewObject returns an object with some fields.
func NewObject(fields ...Field) *Object {
	object := &Object{}
	for _, field := range fields {
		object.Set(field.Name, field.Value)
	}
	return object
}

// Get returns the value of a name; nil if the object has none. A nil object has no names.
func (o *Object) Get(name string) any {
	if at := o.find(name); at >= 0 {
		return o.members[at].value
	}
	return nil
}

// Has says whether the object has a name.
func (o *Object) Has(name string) bool {
	return o.find(name) >= 0
}

// Set gives a name its value, in the place of an earlier value or else at the end.
func (o *Object) Set(name string, value any) {
	if at := o.find(name); at >= 0 {
		o.members[at].value = value
		return
	}
	o.members = append(o.members, member{name, value})
}

// Delete removes a name, if the object has it.
func (o *Object) Delete(name string) {
	o.members = slices.DeleteFunc(o.members, func(m member) bool { return m.name == name })
}

// Names returns the names in order.
func (o *Object) Names() []string {
	if o == nil {
		return nil
	}
	names := make([]string, len(o.members))
	for i, m := range o.members {
		names[i] = m.name
	}
	return names
}

// Clone returns a copy with the same values.
func (o *Object) Clone() *Object {
	return &Object{slices.Clone(o.members)}
}

func (o *Object) find(name string) int {
	if o == nil {
		return -1
	}
	return slices.IndexFunc(o.members, func(m member) bool { return m.name == name })
}

// MarshalJSON writes the object with its names in order.
func (o *Object) MarshalJSON() ([]byte, error) {
	if o == nil {
		return []byte("null"), nil
	}
	var out bytes.Buffer
	if err := write(&out, o); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// UnmarshalJSON reads a JSON object.
func (o *Object) UnmarshalJSON(data []byte) error {
	value, err := Decode(data)
	if err != nil {
		return err
	}
	object, ok := value.(*Object)
	if !ok {
		return errors.New("the JSON value is not an object")
	}
	*o = *object
	return nil
}

// Decode reads one JSON value. Objects become *Object, and numbers json.Number.
func Decode(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	value, err := read(decoder)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text follows the JSON value")
	}
	return value, nil
}

// Encode writes a value of Decode as compact JSON. It escapes only what JSON requires.
func Encode(value any) ([]byte, error) {
	var out bytes.Buffer
	if err := write(&out, value); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func read(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		return readObject(decoder)
	case json.Delim('['):
		return readArray(decoder)
	}
	return token, nil
}

func readObject(decoder *json.Decoder) (*Object, error) {
	object := &Object{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		value, err := read(decoder)
		if err != nil {
			return nil, err
		}
		object.Set(name.(string), value)
	}
	_, err := decoder.Token()
	return object, err
}

func readArray(decoder *json.Decoder) ([]any, error) {
	array := []any{}
	for decoder.More() {
		value, err := read(decoder)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	_, err := decoder.Token()
	return array, err
}

func write(out *bytes.Buffer, value any) error {
	switch value := value.(type) {
	case *Object:
		return writeAll(out, '{', '}', value.members, writeMember)
	case []any:
		return writeAll(out, '[', ']', value, write)
	case nil, bool, string, int, json.Number:
		return writeScalar(out, value)
	}
	return fmt.Errorf("%T is no JSON value", value)
}

func writeAll[T any](out *bytes.Buffer, open, end byte, items []T, each func(*bytes.Buffer, T) error) error {
	out.WriteByte(open)
	for i, item := range items {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := each(out, item); err != nil {
			return err
		}
	}
	out.WriteByte(end)
	return nil
}

func writeMember(out *bytes.Buffer, m member) error {
	if err := writeScalar(out, m.name); err != nil {
		return err
	}
	out.WriteByte(':')
	return write(out, m.value)
}

func writeScalar(out *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the encoder's newline
	return nil
}
