package arrange

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

const emptyObject = "{}"

// argumentsKey is the member that holds a text of arguments that is no JSON object, for APIs that want one.
const argumentsKey = "arguments"

var (
	token      = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"|[\[\]{},]|"`)
	halfEscape = regexp.MustCompile(`(\\+)(u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2})?\z`)
	closers    = map[string]string{"{": "}", "[": "]"}
)

// Repaired returns JSON from the beginning of a JSON text; {} if the text cannot be repaired.
//
// It closes the string, arrays and objects that are open at the end. If that is no JSON, for example because a
// name has no value yet, it drops the member that is not complete.
func Repaired(text string) string {
	if json.Valid([]byte(text)) {
		return text
	}
	for _, made := range candidates(text) {
		if json.Valid([]byte(made)) {
			return made
		}
	}
	return emptyObject
}

// candidates returns the text with everything closed, and the text without its last member.
func candidates(text string) [2]string {
	whole, shorter, open := text, emptyObject, []string{}
	for _, at := range token.FindAllStringIndex(text, -1) {
		mark := text[at[0]:at[1]]
		switch {
		case mark == `"`:
			whole = withoutHalfEscape(text) + `"`
		case closers[mark] != "":
			open = append(open, closers[mark])
			shorter = text[:at[1]] + closing(open)
		case mark == ",":
			shorter = text[:at[0]] + closing(open)
		case (mark == "]" || mark == "}") && len(open) > 0:
			open = open[:len(open)-1]
		}
		if mark == `"` {
			break
		}
	}
	return [2]string{whole + closing(open), shorter}
}

func closing(open []string) string {
	reversed := slices.Clone(open)
	slices.Reverse(reversed)
	return strings.Join(reversed, "")
}

// withoutHalfEscape cuts an escape that is not complete from the end of a string.
func withoutHalfEscape(text string) string {
	found := halfEscape.FindStringSubmatch(text)
	if found == nil || len(found[1])%2 == 0 {
		return text
	}
	return text[:len(text)-1-len(found[2])]
}

// ArgumentsObject returns arguments as a JSON object, for APIs that want one. It repairs a text that is no JSON
// object; if nothing of the text is left, or a number is too large for a program to read, the object has the text as
// its only member.
func ArgumentsObject(text string) *formats.Object {
	repaired := Repaired(text)
	found, err := formats.Decode([]byte(repaired))
	object, ok := found.(*formats.Object)
	if err == nil && ok && (len(object.Names()) > 0 || content.IsBlank(text) || repaired == text) && content.IsFinite(object) {
		return object
	}
	return formats.NewObject(formats.Field{Name: argumentsKey, Value: text})
}

// SameCall says whether two calls have the same id and name, and arguments that are the same object.
func SameCall(a, b *pb.ToolCall) bool {
	return a.GetId() == b.GetId() && a.GetName() == b.GetName() &&
		content.Equal(ArgumentsObject(a.GetArguments()), ArgumentsObject(b.GetArguments()))
}
