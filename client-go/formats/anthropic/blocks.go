package anthropic

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/arrange"
	"sessionhistory.io/go/formats/internal/content"
	"sessionhistory.io/go/formats/internal/turn"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// PayloadType is the payload_type of a message of this API: its payload is the list of its blocks.
const PayloadType = "application/vnd.anthropic.content+json"

// isError is the name in a result's metadata that says whether the tool failed.
const isError = "is_error"

// userBlocks are the blocks of a user that a part of JSON may hold as they are, because no other part can.
var userBlocks = []string{"image", "document", "search_result", "container_upload"}

func textBlock(text string) *formats.Object {
	return content.Of("type", "text", "text", text)
}

// saidBlocks returns the blocks of a message that is not the model's; blank texts, reasoning and media of other
// types have none.
func saidBlocks(message *pb.Message) []*formats.Object {
	var made []*formats.Object
	for _, part := range append([]*pb.Part{content.Text(message.GetContent())}, message.GetParts()...) {
		block := blockOf(part)
		if block != nil && !(block.Has("text") && content.IsBlank(content.String(block, "text"))) {
			made = append(made, block)
		}
	}
	return made
}

// modelBlocks returns the blocks of a message of the model: those of its payload, if they still are its own.
func modelBlocks(caller arrange.Caller) []*formats.Object {
	if kept, ok := payloadBlocks(caller.Message); ok {
		return withCalls(kept, caller.Calls)
	}
	var calls []*pb.ToolCall
	for _, answered := range caller.Calls {
		calls = append(calls, answered.Call)
	}
	return blocksOfFields(caller.Message, calls)
}

// answer returns the message of an answer: all its text as content, and its blocks as payload.
func answer(blocks []*formats.Object) *pb.Message {
	made := readMessage(blocks, false)
	if text := textOf(blocks); text != "" {
		made.Content = &text
	}
	return withPayload(made, blocks)
}

// messageOfModel returns the message of a turn of the model, with its blocks as payload if its fields lack some.
func messageOfModel(blocks []*formats.Object) *pb.Message {
	texts := slices.DeleteFunc(slices.Clone(blocks), func(block *formats.Object) bool { return typeOf(block) != "text" })
	made := readMessage(blocks, len(texts) != 1)
	if len(texts) == 1 {
		made.Content = proto.String(textOf(texts))
	}
	if equalBlocks(blocksOfFields(made, made.GetToolCalls()), blocks) {
		return made
	}
	return withPayload(made, blocks)
}

// readMessage returns a message with the calls and the reasoning of blocks, perhaps with their texts as parts.
func readMessage(blocks []*formats.Object, hasTexts bool) *pb.Message {
	made := &pb.Message{MessageId: content.NewID(), Role: pb.Role_ROLE_ASSISTANT}
	for _, block := range blocks {
		switch typeOf(block) {
		case "tool_use":
			made.ToolCalls = append(made.ToolCalls, readCall(block))
		case "text":
			if hasTexts {
				made.Parts = append(made.Parts, content.Text(content.String(block, "text")))
			}
		default:
			if part := reasoningOf(block); part != nil {
				made.Parts = append(made.Parts, part)
			}
		}
	}
	return made
}

func withPayload(message *pb.Message, blocks []*formats.Object) *pb.Message {
	message.Payload, message.PayloadType = []byte(content.Dumped(turn.Array(blocks))), PayloadType
	return message
}

func textOf(blocks []*formats.Object) string {
	var text strings.Builder
	for _, block := range blocks {
		if typeOf(block) == "text" {
			text.WriteString(content.String(block, "text"))
		}
	}
	return text.String()
}

func equalBlocks(a, b []*formats.Object) bool {
	return slices.EqualFunc(a, b, func(a, b *formats.Object) bool { return content.Equal(a, b) })
}

// reasoningOf returns the reasoning of a block. Thinking whose text the API does not show is in the payload only.
func reasoningOf(block *formats.Object) *pb.Part {
	var reasoning *pb.Reasoning
	if text := content.String(block, "thinking"); typeOf(block) == "thinking" && text != "" {
		reasoning = &pb.Reasoning{Text: text, Signature: content.String(block, "signature")}
	}
	if data := content.String(block, "data"); typeOf(block) == "redacted_thinking" && data != "" {
		reasoning = &pb.Reasoning{Opaque: data}
	}
	if reasoning == nil {
		return nil
	}
	return &pb.Part{Kind: &pb.Part_Reasoning{Reasoning: reasoning}}
}

// setBody sets the content and the parts of a message to blocks that are not the model's.
func setBody(message *pb.Message, blocks []*formats.Object) {
	var parts []*pb.Part
	for _, block := range blocks {
		parts = append(parts, readPart(withoutCache(block)))
	}
	if text, ok := onlyText(parts); ok {
		message.Content = &text
		return
	}
	message.Parts = parts
}

func onlyText(parts []*pb.Part) (string, bool) {
	if len(parts) != 1 {
		return "", false
	}
	text, ok := parts[0].GetKind().(*pb.Part_Text)
	return parts[0].GetText(), ok && text != nil
}

// withoutCache returns a copy of a block without its breakpoint of the prompt cache.
func withoutCache(block *formats.Object) *formats.Object {
	made := block.Clone()
	made.Delete("cache_control")
	return made
}

func blockOf(part *pb.Part) *formats.Object {
	switch kind := part.GetKind().(type) {
	case *pb.Part_Text:
		return textBlock(kind.Text)
	case *pb.Part_Media:
		return blockOfMedia(kind.Media)
	case *pb.Part_Json:
		value, _ := formats.Decode([]byte(kind.Json))
		block := content.Object(value)
		if slices.Contains(userBlocks, typeOf(block)) && isSound("user", block) {
			return block
		}
		return textBlock(content.Compact([]*pb.Part{part})[0].GetJson())
	}
	return nil
}

func readPart(block *formats.Object) *pb.Part {
	if text, ok := block.Get("text").(string); ok && typeOf(block) == "text" && len(block.Names()) == 2 {
		return content.Text(text)
	}
	if part := mediaOfBlock(block); part != nil {
		return part
	}
	return content.JSON(block)
}

func readCall(block *formats.Object) *pb.ToolCall {
	input := block.Get("input")
	if !block.Has("input") {
		input = formats.NewObject()
	}
	return &pb.ToolCall{
		Id: content.String(block, "id"), Name: content.String(block, "name"), Arguments: content.Dumped(input),
	}
}

func callBlock(call *pb.ToolCall) *formats.Object {
	name := call.GetName()
	if !toolName.MatchString(name) {
		name = content.AcceptedName(name)
	}
	return content.Of("type", "tool_use", "id", call.GetId(), "name", name,
		"input", arrange.ArgumentsObject(call.GetArguments()))
}

// blocksOfFields returns the blocks that the fields of a message make: reasoning before the content, parts, calls.
func blocksOfFields(message *pb.Message, calls []*pb.ToolCall) []*formats.Object {
	parts := message.GetParts()
	first := slices.IndexFunc(parts, func(part *pb.Part) bool { return part.GetReasoning() == nil })
	if first < 0 {
		first = len(parts)
	}
	parts = slices.Concat(parts[:first], []*pb.Part{content.Text(message.GetContent())}, parts[first:])
	var made []*formats.Object
	for _, part := range parts {
		if block := modelBlock(part, isOwn(message)); block != nil {
			made = append(made, block)
		}
	}
	for _, call := range calls {
		made = append(made, callBlock(call))
	}
	return made
}

// modelBlock returns the block of a part of the model; media have none.
func modelBlock(part *pb.Part, isOwn bool) *formats.Object {
	if part.GetReasoning() != nil && isOwn {
		return thinkingBlock(part.GetReasoning())
	}
	if block := blockOf(part); typeOf(block) == "text" && !content.IsBlank(content.String(block, "text")) {
		return block
	}
	return nil
}

// isOwn says whether a model of Anthropic made a message. Anthropic refuses the reasoning of others.
func isOwn(message *pb.Message) bool {
	if message.GetProvider() == "" && message.GetModel() == "" {
		return true
	}
	return strings.Contains(strings.ToLower(message.GetProvider()), provider) ||
		strings.Contains(strings.ToLower(message.GetModel()), "claude")
}

// thinkingBlock returns the block of reasoning that Anthropic has signed or encrypted; else nil.
func thinkingBlock(reasoning *pb.Reasoning) *formats.Object {
	if reasoning.GetOpaque() != "" && reasoning.GetText() == "" {
		return content.Of("type", "redacted_thinking", "data", reasoning.GetOpaque())
	}
	if reasoning.GetSignature() != "" && reasoning.GetOpaque() == "" {
		return content.Of("type", "thinking", "thinking", reasoning.GetText(), "signature", reasoning.GetSignature())
	}
	return nil
}
