package gemini

import (
	"regexp"
	"slices"
	"strings"

	"sessionhistory.io/go/formats"
)

// asTheyAre are the members whose values are the caller's own JSON.
var asTheyAre = []string{"args", "response", "partMetadata", "structValue"}

var underscore = regexp.MustCompile(`_[a-z]`)

// camel returns JSON with names like usageMetadata, which the API also has as usage_metadata, and without members that
// are null.
func camel(value any) any {
	switch value := value.(type) {
	case []any:
		made := make([]any, len(value))
		for i, one := range value {
			made[i] = camel(one)
		}
		return made
	case *formats.Object:
		return camelObject(value)
	}
	return value
}

func camelObject(object *formats.Object) *formats.Object {
	made := formats.NewObject()
	for _, name := range object.Names() {
		value := object.Get(name)
		if value == nil {
			continue
		}
		name = underscore.ReplaceAllStringFunc(name, func(found string) string { return strings.ToUpper(found[1:]) })
		if !slices.Contains(asTheyAre, name) {
			value = camel(value)
		}
		made.Set(name, value)
	}
	return made
}
