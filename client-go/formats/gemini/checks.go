package gemini

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
)

const (
	callMember      = "functionCall"
	responseMember  = "functionResponse"
	signatureMember = "thoughtSignature"
)

var (
	acceptedName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$`)
	// data are the members of a part of which it has exactly one.
	data = []string{
		"text", "inlineData", "fileData", callMember, responseMember,
		"executableCode", "codeExecutionResult", "toolCall", "toolResponse",
	}
	responseRoles = []string{"user", "function"}
)

// checker collects the violations of a request.
type checker struct {
	found []formats.Violation
}

// checkedContent is a content of a request: its place, its role and its parts.
type checkedContent struct {
	path, role string
	parts      []*formats.Object
}

func (c checkedContent) place(index int) string {
	return fmt.Sprintf("%s.parts[%d]", c.path, index)
}

// values returns the values of a member of the parts.
func (c checkedContent) values(member string) []*formats.Object {
	var values []*formats.Object
	for _, part := range c.parts {
		if value := content.Object(part, member); value != nil {
			values = append(values, value)
		}
	}
	return values
}

// Violations returns the rules of generateContent that a request's body breaks. Of the options, NoSignatures counts.
func Violations(body []byte, options formats.Options) ([]formats.Violation, error) {
	told, err := loaded(body)
	if err != nil {
		return nil, err
	}
	var contents []checkedContent
	for index, one := range content.Array(told, "contents") {
		contents = append(contents, checkedContent{
			fmt.Sprintf("contents[%d]", index), content.String(one, "role"), partsOf(one),
		})
	}
	c := &checker{}
	c.system(partsOf(told.Get("systemInstruction")))
	c.order(contents)
	for _, one := range contents {
		for index, part := range one.parts {
			c.part(one.place(index), one.role, part)
		}
	}
	c.calls(contents)
	if !options.NoSignatures {
		c.signatures(contents)
	}
	return c.found, nil
}

func loaded(body []byte) (*formats.Object, error) {
	told, err := content.Loaded(body)
	if err != nil {
		return nil, err
	}
	return camelObject(told), nil
}

// partsOf returns the parts of a content.
func partsOf(told any) []*formats.Object {
	var parts []*formats.Object
	for _, value := range content.Array(told, "parts") {
		if part := content.Object(value); part != nil {
			parts = append(parts, part)
		}
	}
	return parts
}

func (c *checker) breaks(rule, path string) {
	broken := rules[rule]
	broken.Name = rule
	c.found = append(c.found, broken.At(path))
}

func (c *checker) system(parts []*formats.Object) {
	for index, part := range parts {
		path := fmt.Sprintf("systemInstruction.parts[%d]", index)
		if !part.Has("text") {
			c.breaks("system-text", path)
		} else if !content.Given(part.Get("text")) {
			c.breaks("text-present", path)
		}
	}
}

// order checks the roles of the contents, and that each has parts.
func (c *checker) order(contents []checkedContent) {
	if len(contents) == 0 {
		c.breaks("contents-present", "contents")
		return
	}
	if contents[0].role == "model" {
		c.breaks("first-is-user", contents[0].path)
	}
	if last := contents[len(contents)-1]; last.role == "model" {
		c.breaks("last-is-user", last.path)
	}
	for _, one := range contents {
		if one.role != "model" && !slices.Contains(responseRoles, one.role) {
			c.breaks("known-role", one.path)
		}
		if len(one.parts) == 0 {
			c.breaks("parts-present", one.path)
		}
	}
}

// part checks a part, apart from others.
func (c *checker) part(path, role string, part *formats.Object) {
	kinds := slices.DeleteFunc(slices.Clone(data), func(member string) bool { return !part.Has(member) })
	if len(kinds) != 1 {
		c.breaks("part-data", path)
		return
	}
	value := part.Get(kinds[0])
	switch kinds[0] {
	case "text":
		if !content.Given(value) && !content.Given(part.Get(signatureMember)) {
			c.breaks("text-present", path)
		}
	case "inlineData":
		if !content.Given(content.At(value, "mimeType")) || !content.Given(content.At(value, "data")) {
			c.breaks("blob-data", path)
		}
	case "fileData":
		if !content.Given(content.At(value, "fileUri")) {
			c.breaks("file-uri", path)
		}
	case callMember, responseMember:
		c.function(path, role, kinds[0], value)
	}
}

// function checks a call or a response.
func (c *checker) function(path, role, kind string, value any) {
	isCall := kind == callMember
	if isCall != (role == "model") {
		c.breaks("call-role", path)
	}
	if !acceptedName.MatchString(content.String(value, "name")) {
		c.breaks("function-name", fmt.Sprintf("%s.%s.name", path, kind))
	}
	if isCall && content.Object(value).Has("args") && content.Object(value, "args") == nil {
		c.breaks("call-arguments", fmt.Sprintf("%s.%s.args", path, kind))
	}
	if !isCall && content.Object(value, "response") == nil {
		c.breaks("response-object", fmt.Sprintf("%s.%s.response", path, kind))
	}
}

// calls checks that the content behind calls has their responses, and nothing else.
func (c *checker) calls(contents []checkedContent) {
	for index, one := range contents {
		var before, after checkedContent
		if index > 0 {
			before = contents[index-1]
		}
		if index+1 < len(contents) {
			after = contents[index+1]
		}
		if calls := one.values(callMember); len(calls) > 0 {
			c.answered(before, one, after)
		}
		if own := one.values(responseMember); len(own) > 0 {
			if len(before.values(callMember)) == 0 {
				c.breaks("responses-follow", one.path)
			}
			if len(own) != len(one.parts) {
				c.breaks("responses-alone", one.path)
			}
		}
	}
}

func (c *checker) answered(before, calling, after checkedContent) {
	if !slices.Contains(responseRoles, before.role) {
		c.breaks("call-place", calling.path)
	}
	calls, responses := calling.values(callMember), after.values(responseMember)
	if len(calls) != len(responses) {
		c.breaks("responses-count", calling.path)
	} else if !maps.Equal(named(calls), named(responses)) {
		c.breaks("response-of-call", after.path)
	}
}

// named counts calls or responses by id and name.
func named(values []*formats.Object) map[[2]string]int {
	counts := map[[2]string]int{}
	for _, value := range values {
		counts[[2]string{content.String(value, "id"), content.String(value, "name")}]++
	}
	return counts
}

// signatures checks that the first call of each content has a signature.
func (c *checker) signatures(contents []checkedContent) {
	for _, one := range contents {
		index := slices.IndexFunc(one.parts, isCall)
		if index >= 0 && !content.Given(one.parts[index].Get(signatureMember)) {
			c.breaks("call-signature", one.place(index))
		}
	}
}

func isCall(part *formats.Object) bool {
	return part.Has(callMember)
}

func isResponse(part *formats.Object) bool {
	return part.Has(responseMember)
}
