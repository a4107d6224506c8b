package openaichat

import (
	"google.golang.org/protobuf/proto"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// PayloadType is the payload_type of a message of this API.
const PayloadType = "application/vnd.openai.chat-message+json"

// reasoningKeys are the members with the text of reasoning, which servers compatible with the API have.
var reasoningKeys = []string{"reasoning_content", "reasoning"}

var (
	roles = map[pb.Role]string{
		pb.Role_ROLE_SYSTEM:    "system",
		pb.Role_ROLE_DEVELOPER: "developer",
		pb.Role_ROLE_USER:      "user",
		pb.Role_ROLE_ASSISTANT: "assistant",
		pb.Role_ROLE_TOOL:      "tool",
	}
	audioFormats = map[string]string{"audio/wav": "wav", "audio/mpeg": "mp3"}
	audioTypes   = map[string]string{"wav": "audio/wav", "mp3": "audio/mpeg"}
)

// read returns the message of an item, without payload.
func read(item any) (*pb.Message, error) {
	role, err := readRole(item)
	if err != nil {
		return nil, err
	}
	calls, err := readCalls(item)
	if err != nil {
		return nil, err
	}
	text, parts, err := readContent(item)
	return &pb.Message{
		MessageId:  content.NewID(),
		Role:       role,
		Content:    text,
		Name:       content.String(item, "name"),
		ToolCalls:  calls,
		ToolCallId: content.String(item, "tool_call_id"),
		Parts:      append(readReasoning(item), parts...),
	}, err
}

// readWithPayload returns the message of an item, with the item as its payload if the fields do not give it back.
func readWithPayload(item any) (*pb.Message, error) {
	message, err := read(item)
	if err == nil && !content.Equal(written(message), item) {
		message.Payload, message.PayloadType = []byte(content.Dumped(item)), PayloadType
	}
	return message, err
}

// written returns the item of a message by its fields. Media that the role does not take are left out.
func written(message *pb.Message) *formats.Object {
	item := content.Of("role", roles[message.GetRole()])
	if message.GetRole() == pb.Role_ROLE_TOOL {
		item.Set("tool_call_id", message.GetToolCallId())
	} else if message.GetName() != "" {
		item.Set("name", content.AcceptedName(message.GetName()))
	}
	item.Set("content", writtenContent(message))
	if len(message.GetToolCalls()) > 0 {
		var calls []any
		for _, call := range message.GetToolCalls() {
			calls = append(calls, writtenCall(call))
		}
		item.Set("tool_calls", calls)
	}
	return item
}

// writtenCall returns the item of a call, with a name that the API accepts.
func writtenCall(call *pb.ToolCall) *formats.Object {
	named := &pb.ToolCall{Id: call.GetId(), Name: content.AcceptedName(call.GetName()), Arguments: call.GetArguments()}
	return rawCall(named, false)
}

// rawCall returns the item of a call as the API writes it.
func rawCall(call *pb.ToolCall, custom bool) *formats.Object {
	kind, arguments := "function", "arguments"
	if custom {
		kind, arguments = "custom", "input"
	}
	made := content.Of("name", call.GetName(), arguments, call.GetArguments())
	return content.Of("id", call.GetId(), "type", kind, kind, made)
}

// ownItem returns the item in a message's payload, as the API accepts it, if it agrees with the fields; else nil.
func ownItem(message *pb.Message) *formats.Object {
	item := content.Object(content.ItemOf(message, PayloadType))
	if item == nil || content.String(item, "role") != roles[message.GetRole()] {
		return nil
	}
	said, err := read(item)
	if err != nil || !proto.Equal(told(said), told(message)) {
		return nil
	}
	taken := takenBack(item)
	c := &checker{}
	if c.content(taken, roles[message.GetRole()], ""); len(c.found) > 0 {
		return nil
	}
	return taken
}

// textsAsParts returns the texts of several messages as parts of one.
func textsAsParts(messages []*pb.Message) []any {
	var parts []any
	for _, message := range messages {
		for _, text := range content.Texts(content.Body(message)) {
			parts = append(parts, writtenText(text))
		}
	}
	return parts
}

// refusedMedia returns the media that the role of a message does not take, as parts of a user's message.
func refusedMedia(message *pb.Message) []any {
	if message.GetRole() == pb.Role_ROLE_USER {
		return nil
	}
	var parts []any
	for _, part := range content.Body(message) {
		if part.GetMedia() != nil {
			parts = append(parts, writtenMedium(part.GetMedia()))
		}
	}
	return parts
}

func told(message *pb.Message) *pb.Message {
	return &pb.Message{
		Content:    message.Content,
		Parts:      content.Compact(message.GetParts()),
		ToolCalls:  message.GetToolCalls(),
		ToolCallId: message.GetToolCallId(),
		Name:       message.GetName(),
	}
}

// takenBack returns an item without the members of its answers that the API refuses in a request.
func takenBack(item *formats.Object) *formats.Object {
	if item.Has("tool_calls") && !content.Given(item.Get("tool_calls")) {
		item.Delete("tool_calls")
	}
	if audio := content.Object(item, "audio"); audio != nil {
		item.Set("audio", content.Of("id", audio.Get("id")))
	}
	if item.Has("name") {
		item.Set("name", content.AcceptedName(content.String(item, "name")))
	}
	return item
}

func readRole(item any) (pb.Role, error) {
	name := content.String(item, "role")
	if name == "function" {
		return pb.Role_ROLE_TOOL, nil
	}
	for role, known := range roles {
		if known == name {
			return role, nil
		}
	}
	return 0, content.ErrMalformed
}

func readContent(item any) (*string, []*pb.Part, error) {
	switch told := content.At(item, "content").(type) {
	case []any:
		var parts []*pb.Part
		for _, part := range told {
			parts = append(parts, readPart(part))
		}
		return nil, parts, nil
	case string:
		return &told, nil, nil
	case nil:
		return readOtherText(item), nil, nil
	}
	return nil, nil, content.ErrMalformed
}

// readOtherText returns the text of a refusal or of speech; nil if there is none.
func readOtherText(item any) *string {
	if refusal := content.String(item, "refusal"); refusal != "" {
		return &refusal
	}
	if transcript, ok := content.At(item, "audio", "transcript").(string); ok {
		return &transcript
	}
	return nil
}

func readCalls(item any) ([]*pb.ToolCall, error) {
	var calls []*pb.ToolCall
	for _, told := range content.Array(item, "tool_calls") {
		call, err := readCall(told)
		if err != nil {
			return nil, err
		}
		calls = append(calls, call)
	}
	if function := content.At(item, "function_call"); content.Given(function) {
		call, err := readFunction(function, "arguments")
		if err != nil {
			return nil, err
		}
		calls = append(calls, call)
	}
	return calls, nil
}

func readCall(told any) (*pb.ToolCall, error) {
	function, arguments := content.At(told, "function"), "arguments"
	if content.String(told, "type") == "custom" {
		function, arguments = content.At(told, "custom"), "input"
	}
	call, err := readFunction(function, arguments)
	if err == nil {
		call.Id = content.String(told, "id")
	}
	return call, err
}

func readFunction(function any, arguments string) (*pb.ToolCall, error) {
	name, err := content.Required(function, "name")
	if err != nil {
		return nil, err
	}
	text, err := content.Required(function, arguments)
	return &pb.ToolCall{Name: name, Arguments: text}, err
}

func readReasoning(item any) []*pb.Part {
	for _, key := range reasoningKeys {
		if text := content.String(item, key); text != "" {
			return []*pb.Part{content.Thought(text)}
		}
	}
	return nil
}

func writtenContent(message *pb.Message) any {
	if len(content.Reasoning(message)) == len(message.GetParts()) {
		if message.GetRole() == pb.Role_ROLE_ASSISTANT && message.Content == nil {
			return nil
		}
		return message.GetContent()
	}
	var parts []any
	for _, part := range content.Body(message) {
		if media := part.GetMedia(); media == nil {
			parts = append(parts, writtenText(part.GetText()))
		} else if message.GetRole() == pb.Role_ROLE_USER {
			parts = append(parts, writtenMedium(media))
		}
	}
	switch {
	case len(parts) > 0:
		return parts
	case message.GetRole() == pb.Role_ROLE_ASSISTANT:
		return nil
	}
	return ""
}
