package content

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode"

	"sessionhistory.io/go/formats"
)

// ErrMalformed says that an item is none of its API.
var ErrMalformed = errors.New("the item is none of this API")

// At returns the value at a path of names; nil if there is none.
func At(value any, names ...string) any {
	for _, name := range names {
		object, _ := value.(*formats.Object)
		value = object.Get(name)
	}
	return value
}

// String returns the text at a path of names; empty if there is none.
func String(value any, names ...string) string {
	text, _ := At(value, names...).(string)
	return text
}

// Object returns the object at a path of names; nil if there is none.
func Object(value any, names ...string) *formats.Object {
	object, _ := At(value, names...).(*formats.Object)
	return object
}

// Array returns the array at a path of names; nil if there is none.
func Array(value any, names ...string) []any {
	array, _ := At(value, names...).([]any)
	return array
}

// Required returns the text at a path of names, or ErrMalformed if there is none.
func Required(value any, names ...string) (string, error) {
	text, ok := At(value, names...).(string)
	if !ok {
		return "", ErrMalformed
	}
	return text, nil
}

// Given says whether a value is there and not empty: neither null, false, 0 nor an empty text, array or object.
func Given(value any) bool {
	switch value := value.(type) {
	case string:
		return value != ""
	case []any:
		return len(value) > 0
	case *formats.Object:
		return len(value.Names()) > 0
	case json.Number:
		return value != "0"
	case bool:
		return value
	}
	return value != nil
}

// Equal says whether two values are the same JSON, in any order of names.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case *formats.Object:
		other, ok := b.(*formats.Object)
		return ok && equalObjects(a, other)
	case []any:
		other, ok := b.([]any)
		return ok && slices.EqualFunc(a, other, Equal)
	}
	if _, ok := b.([]any); ok {
		return false
	}
	return a == b
}

func equalObjects(a, b *formats.Object) bool {
	if len(a.Names()) != len(b.Names()) {
		return false
	}
	for _, name := range a.Names() {
		if !b.Has(name) || !Equal(a.Get(name), b.Get(name)) {
			return false
		}
	}
	return true
}

// IsFinite says whether a program can read the numbers of a value: not 1e999.
func IsFinite(value any) bool {
	switch value := value.(type) {
	case *formats.Object:
		return !slices.ContainsFunc(value.Names(), func(name string) bool { return !IsFinite(value.Get(name)) })
	case []any:
		return !slices.ContainsFunc(value, func(one any) bool { return !IsFinite(one) })
	case json.Number:
		_, err := value.Float64()
		return err == nil || !strings.ContainsAny(value.String(), ".eE")
	}
	return true
}

// Merged returns an object with the fields of all objects: a later value of a name takes the place of an earlier one.
func Merged(objects ...*formats.Object) *formats.Object {
	made := formats.NewObject()
	for _, object := range objects {
		for _, name := range object.Names() {
			made.Set(name, object.Get(name))
		}
	}
	return made
}

// Of returns an object of names and values in turn.
func Of(namesAndValues ...any) *formats.Object {
	made := formats.NewObject()
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		made.Set(namesAndValues[i].(string), namesAndValues[i+1])
	}
	return made
}

// Count returns a number of tokens at a path of names; nil if there is none.
func Count(value any, names ...string) *int32 {
	number, ok := At(value, names...).(json.Number)
	if !ok {
		return nil
	}
	count, err := number.Int64()
	if err != nil {
		return nil
	}
	small := int32(min(max(count, 0), 1<<31-1))
	return &small
}

// IsBlank says whether a text has nothing but white space.
func IsBlank(text string) bool {
	return TrimEnd(text) == ""
}

// TrimEnd returns a text without the white space at its end.
func TrimEnd(text string) string {
	return strings.TrimRightFunc(text, isSpace)
}

// isSpace counts the separators U+001C to U+001F as white space, as Python does.
func isSpace(r rune) bool {
	return unicode.IsSpace(r) || (r >= 0x1c && r <= 0x1f)
}
