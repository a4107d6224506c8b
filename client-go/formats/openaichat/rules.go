package openaichat

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
)

const (
	maxCallIDLength = 40
	maxCalls        = 128
	typesURL        = "https://github.com/openai/openai-python/blob/main/src/openai/types/chat/"
)

// partTypes are the types of parts that each role takes.
var partTypes = map[string][]string{
	"system":    {"text"},
	"developer": {"text"},
	"tool":      {"text"},
	"assistant": {"text", "refusal"},
	"user":      {"text", "image_url", "input_audio", "file"},
}

var (
	roleRule = formats.Rule{
		Name:   "role",
		Text:   "the role must be one of system, developer, tool, assistant, user",
		Source: typesURL + "chat_completion_message_param.py",
	}
	contentRule = formats.Rule{
		Name:   "content-required",
		Text:   "the message must have text or a list of parts, or be the model's with calls, refusal or audio",
		Source: typesURL + "chat_completion_assistant_message_param.py",
	}
	partTypeRule = formats.Rule{
		Name:   "part-type",
		Text:   "the role does not take a part of this type: send it in a message of the user",
		Source: typesURL + "chat_completion_content_part_param.py",
	}
	nameRule = formats.Rule{
		Name:   "name-characters",
		Text:   "a name has 1 to 64 of the characters A-Z a-z 0-9 _ -",
		Source: "https://github.com/microsoft/autogen/issues/4157",
	}
	functionNameRule = formats.Rule{
		Name:   "function-name",
		Text:   "the name of a function has 1 to 64 of the characters A-Z a-z 0-9 _ -",
		Source: "https://github.com/microsoft/semantic-kernel/issues/5320",
	}
	callShapeRule = formats.Rule{
		Name:   "call-shape",
		Text:   "a call has an id, the type function or custom, and a name and arguments that are text",
		Source: typesURL + "chat_completion_message_function_tool_call_param.py",
	}
	callsEmptyRule = formats.Rule{
		Name:   "calls-not-empty",
		Text:   "tool_calls must have a call: leave it out",
		Source: "https://github.com/openai/openai-node/pull/1341",
	}
	callsManyRule = formats.Rule{
		Name:   "calls-at-most-128",
		Text:   "a message has at most 128 calls: split it",
		Source: "https://github.com/openai/openai-dotnet/issues/317",
	}
	idLengthRule = formats.Rule{
		Name:   "call-id-length",
		Text:   fmt.Sprintf("the id of a call has at most %d characters", maxCallIDLength),
		Source: "https://github.com/vercel/ai/issues/5171",
	}
	idUniqueRule = formats.Rule{
		Name:   "call-id-unique",
		Text:   "the calls of a message need ids of their own, because each result names its call by the id",
		Source: typesURL + "chat_completion_tool_message_param.py",
	}
	callsRoleRule = formats.Rule{
		Name:   "calls-of-assistant",
		Text:   "only a message of the assistant has calls",
		Source: typesURL + "chat_completion_assistant_message_param.py",
	}
	unansweredRule = formats.Rule{
		Name:   "calls-answered",
		Text:   "a tool message for each call must directly follow the message",
		Source: "https://github.com/pipecat-ai/pipecat/issues/309",
	}
	loneResultRule = formats.Rule{
		Name:   "result-follows-call",
		Text:   "a tool message must directly follow the message with its call, once for each call",
		Source: "https://github.com/openai/openai-go/issues/43",
	}
)

// checker collects the violations of a request, and the calls that have no result so far.
type checker struct {
	found   []formats.Violation
	open    []string
	calling string
}

// Violations returns the rules of the API that the messages of a request's body break, in their order.
func Violations(body []byte) ([]formats.Violation, error) {
	request, err := content.Loaded(body)
	if err != nil {
		return nil, err
	}
	c := &checker{}
	for index, item := range content.Array(request, "messages") {
		c.message(item, fmt.Sprintf("messages[%d]", index))
	}
	c.close()
	return c.found, nil
}

func (c *checker) breaks(rule formats.Rule, path string) {
	c.found = append(c.found, rule.At(path))
}

func (c *checker) message(item any, path string) {
	role := content.String(item, "role")
	if role != "tool" {
		c.close()
	}
	if _, ok := partTypes[role]; !ok {
		c.breaks(roleRule, path+".role")
		return
	}
	c.content(item, role, path+".content")
	if object := content.Object(item); object.Has("name") && !content.IsAcceptedName(object.Get("name")) {
		c.breaks(nameRule, path+".name")
	}
	c.calls(item, role, path+".tool_calls")
	if role == "tool" {
		c.answer(content.String(item, "tool_call_id"), path+".tool_call_id")
	} else {
		c.open, c.calling = callIDs(item), path+".tool_calls"
	}
}

// close reports calls that are still without a result.
func (c *checker) close() {
	if len(c.open) > 0 {
		c.breaks(unansweredRule, c.calling)
	}
	c.open = nil
}

func (c *checker) answer(id, path string) {
	at := slices.Index(c.open, id)
	if at < 0 {
		c.breaks(loneResultRule, path)
		return
	}
	c.open = slices.Delete(c.open, at, at+1)
}

func callIDs(item any) []string {
	var ids []string
	for _, call := range content.Array(item, "tool_calls") {
		ids = append(ids, content.String(call, "id"))
	}
	return ids
}

func (c *checker) content(item any, role, path string) {
	told := content.At(item, "content")
	if parts, ok := told.([]any); ok && len(parts) > 0 {
		for index, part := range parts {
			if !slices.Contains(partTypes[role], content.String(part, "type")) {
				c.breaks(partTypeRule, fmt.Sprintf("%s[%d].type", path, index))
			}
		}
		return
	}
	if _, ok := told.(string); !ok && (told != nil || !speaksOtherwise(item, role)) {
		c.breaks(contentRule, path)
	}
}

// speaksOtherwise says whether a message of the model needs no content.
func speaksOtherwise(item any, role string) bool {
	return role == "assistant" && slices.ContainsFunc(spoken[1:], func(name string) bool {
		return content.Given(content.At(item, name))
	})
}

func (c *checker) calls(item any, role, path string) {
	if !content.Object(item).Has("tool_calls") {
		return
	}
	if role != "assistant" {
		c.breaks(callsRoleRule, path)
	}
	calls, ids := content.Array(item, "tool_calls"), callIDs(item)
	if len(calls) == 0 {
		c.breaks(callsEmptyRule, path)
	} else if len(calls) > maxCalls {
		c.breaks(callsManyRule, path)
	}
	for index, call := range calls {
		place := fmt.Sprintf("%s[%d]", path, index)
		c.call(call, place)
		if slices.Contains(ids[:index], ids[index]) {
			c.breaks(idUniqueRule, place+".id")
		}
	}
}

func (c *checker) call(call any, path string) {
	kind, id := content.String(call, "type"), content.String(call, "id")
	arguments := map[string]string{"function": "arguments", "custom": "input"}[kind]
	if _, err := content.Required(call, kind, arguments); err != nil || arguments == "" || id == "" {
		c.breaks(callShapeRule, path)
		return
	}
	if utf8.RuneCountInString(id) > maxCallIDLength {
		c.breaks(idLengthRule, path+".id")
	}
	if !content.IsAcceptedName(content.At(call, kind, "name")) {
		c.breaks(functionNameRule, fmt.Sprintf("%s.%s.name", path, kind))
	}
}
