package cases

import (
	"encoding/json"
	"testing"

	"sessionhistory.io/go/formats"
)

// oddValues take the place of each value of a body in turn.
var oddValues = []any{nil, "", "x", json.Number("1"), true, []any{}, []any{nil, "x"}, formats.NewObject()}

// checkMalformed checks that no function panics if a value of a body has another type than the API's.
func checkMalformed(t *testing.T, format Format, shared testCase) {
	t.Helper()
	for _, body := range []json.RawMessage{shared.Request, shared.Response} {
		malformed(t, body, func(text []byte) {
			if read, err := format.FromRequest(text); err == nil {
				format.ToRequest(read, formats.Options{})
			}
			_, _ = format.FromResponse(text)
			_, _ = format.Violations(text, formats.Options{})
		})
	}
	for at, event := range shared.Stream {
		malformed(t, event, func(text []byte) {
			reader := format.Stream("")
			for _, before := range shared.Stream[:at] {
				_, _ = reader.Feed(before)
			}
			_, _ = reader.Feed(text)
			reader.Message()
		})
	}
}

// malformed calls use with each form of a body in which one value is odd.
func malformed(t *testing.T, body json.RawMessage, use func([]byte)) {
	t.Helper()
	if body == nil {
		return
	}
	root, err := formats.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	exchange(root, func() {
		text, err := formats.Encode(root)
		if err != nil {
			t.Fatal(err)
		}
		use(text)
	})
}

// exchange puts odd values in the place of each value below another one, and calls use for each of them.
func exchange(value any, use func()) {
	switch value := value.(type) {
	case *formats.Object:
		for _, name := range value.Names() {
			exchangeOne(value.Get(name), func(odd any) { value.Set(name, odd) }, use)
		}
	case []any:
		for at := range value {
			exchangeOne(value[at], func(odd any) { value[at] = odd }, use)
		}
	}
}

func exchangeOne(own any, set func(any), use func()) {
	for _, odd := range oddValues {
		set(odd)
		use()
	}
	set(own)
	exchange(own, use)
}
