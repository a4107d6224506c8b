package gemini

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/arrange"
	"sessionhistory.io/go/formats/internal/content"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

const (
	// PayloadType is the payload_type of a message of this API: its payload is its content.
	PayloadType = "application/vnd.google.content+json"
	// NoSignature is the signature that Google documents for a call that no model of Gemini's has signed.
	NoSignature = "skip_thought_signature_validator"

	provider = "google"
	// isError is the name in a result's metadata that says whether the tool failed.
	isError      = "is_error"
	outputMember = "output"
	errorMember  = "error"
)

// saidParts returns the parts of a message that is not the model's.
func saidParts(message *pb.Message) []*formats.Object {
	var made []*formats.Object
	for _, part := range append([]*pb.Part{content.Text(message.GetContent())}, message.GetParts()...) {
		if one := written(part); one != nil {
			made = append(made, one)
		}
	}
	return made
}

// modelParts returns the parts of a message of the model: those of its payload, if they still are its own.
func modelParts(caller arrange.Caller) []*formats.Object {
	if kept, ok := payloadParts(caller.Message); ok {
		return withCalls(kept, caller)
	}
	made := partsOfFields(caller.Message)
	for _, one := range caller.Calls {
		made = append(made, callPart(one.Call, caller.Message.GetToolCalls()[one.Index]))
	}
	return made
}

// answer returns the message of an answer: all its text as content, and its parts as payload. An answer with media has
// no payload if its fields have all of it, because media are large.
func answer(parts []*formats.Object) *pb.Message {
	made := readMessage(parts, false)
	if text := textOf(parts); text != "" {
		made.Content = &text
	}
	hasMedia := slices.ContainsFunc(made.GetParts(), func(part *pb.Part) bool { return part.GetMedia() != nil })
	if hasMedia && equalParts(again(made), parts) {
		return made
	}
	return withPayload(made, parts)
}

// messageOfModel returns the message of a content of the model, with it as payload if its fields lack some of it.
func messageOfModel(parts []*formats.Object) *pb.Message {
	texts := slices.DeleteFunc(slices.Clone(parts), func(part *formats.Object) bool { return !isText(part) })
	made := readMessage(parts, len(texts) != 1)
	if len(texts) == 1 {
		made.Content = proto.String(content.String(texts[0], "text"))
	}
	if equalParts(again(made), parts) {
		return made
	}
	return withPayload(made, parts)
}

func equalParts(a, b []*formats.Object) bool {
	return slices.EqualFunc(a, b, func(a, b *formats.Object) bool { return content.Equal(a, b) })
}

// setBody sets the content and the parts of a message that is not the model's.
func setBody(message *pb.Message, parts []*formats.Object) {
	var told []*pb.Part
	for _, part := range parts {
		medium := mediaOfPart(part)
		if medium == nil {
			medium = stored(part)
		}
		told = append(told, medium)
	}
	if len(told) == 1 {
		if text, ok := told[0].GetKind().(*pb.Part_Text); ok {
			message.Content = &text.Text
			return
		}
	}
	message.Parts = told
}

// isText says whether a part is text of the answer, not a thought.
func isText(part *formats.Object) bool {
	_, ok := part.Get("text").(string)
	return ok && !isThought(part)
}

func isThought(part *formats.Object) bool {
	return content.Given(part.Get("thought"))
}

// reasoningOf returns the reasoning of consecutive thoughts; nil if they have no text.
func reasoningOf(thoughts []*formats.Object) *pb.Part {
	var text strings.Builder
	signature := ""
	for _, part := range thoughts {
		text.WriteString(content.String(part, "text"))
		if signature == "" {
			signature = content.String(part, signatureMember)
		}
	}
	if text.Len() == 0 {
		return nil
	}
	return &pb.Part{Kind: &pb.Part_Reasoning{Reasoning: &pb.Reasoning{Text: text.String(), Signature: signature}}}
}

func readCall(value *formats.Object) *pb.ToolCall {
	arguments := "{}"
	if args := value.Get("args"); content.Given(args) {
		arguments = content.Dumped(args)
	}
	return &pb.ToolCall{Id: content.String(value, "id"), Name: content.String(value, "name"), Arguments: arguments}
}

// written returns the part of a text, a medium or JSON; empty ones, and media without a type, have none.
func written(part *pb.Part) *formats.Object {
	switch kind := part.GetKind().(type) {
	case *pb.Part_Text:
		if kind.Text != "" {
			return content.Of("text", kind.Text)
		}
	case *pb.Part_Media:
		return writtenMedium(kind.Media)
	case *pb.Part_Json:
		value, _ := formats.Decode([]byte(kind.Json))
		object := content.Object(value)
		if (object.Has("inlineData") || object.Has("fileData")) && isSound("user", object) {
			return object
		}
		return content.Of("text", content.Compact([]*pb.Part{part})[0].GetJson())
	}
	return nil
}

func isSound(role string, part *formats.Object) bool {
	c := &checker{}
	c.part("", role, part)
	return len(c.found) == 0
}

// stored returns a part of a user that is no medium: JSON is a part as it is.
func stored(part *formats.Object) *pb.Part {
	if text, ok := only(part, "text").(string); ok {
		return content.Text(text)
	}
	return content.JSON(part)
}

// nameOf returns a name that the API accepts.
func nameOf(name string) string {
	if acceptedName.MatchString(name) {
		return name
	}
	made := content.AcceptedName(name)
	if acceptedName.MatchString(made) {
		return made
	}
	made = "_" + made
	return made[:min(len(made), 64)]
}

// idOf returns the id of a call, if the stored call has one: some versions of the API have none.
func idOf(call, stored *pb.ToolCall) *formats.Object {
	if stored.GetId() == "" {
		return formats.NewObject()
	}
	return content.Of("id", call.GetId())
}

func callPart(call, stored *pb.ToolCall) *formats.Object {
	made := content.Of("name", nameOf(call.GetName()), "args", arrange.ArgumentsObject(call.GetArguments()))
	return content.Of(callMember, content.Merged(idOf(call, stored), made))
}

// partsOfFields returns the parts that the fields of a message make, without its calls: reasoning, content, parts.
func partsOfFields(message *pb.Message) []*formats.Object {
	parts := message.GetParts()
	first := slices.IndexFunc(parts, func(part *pb.Part) bool { return part.GetReasoning() == nil })
	if first < 0 {
		first = len(parts)
	}
	var made []*formats.Object
	for _, part := range slices.Concat(parts[:first], []*pb.Part{content.Text(message.GetContent())}, parts[first:]) {
		one := written(part)
		if reasoning := part.GetReasoning(); reasoning != nil && isOwn(message) {
			one = thought(reasoning)
		}
		if one != nil {
			made = append(made, one)
		}
	}
	return made
}

// again returns the parts that the fields of a message make, with its calls.
func again(message *pb.Message) []*formats.Object {
	made := partsOfFields(message)
	for _, call := range message.GetToolCalls() {
		made = append(made, callPart(call, call))
	}
	return made
}

// isOwn says whether a model of Google made a message. Gemini refuses the signatures of others.
func isOwn(message *pb.Message) bool {
	names := strings.ToLower(message.GetProvider() + " " + message.GetModel())
	return content.IsBlank(names) || strings.Contains(names, provider) || strings.Contains(names, "gemini")
}

// thought returns the part of a thought that Gemini has signed; else nil.
func thought(reasoning *pb.Reasoning) *formats.Object {
	if reasoning.GetText() == "" || reasoning.GetSignature() == "" || reasoning.GetOpaque() != "" {
		return nil
	}
	return content.Of("text", reasoning.GetText(), "thought", true, signatureMember, reasoning.GetSignature())
}

// readMessage returns a message with the calls, the thoughts and the media of parts, and perhaps their texts.
func readMessage(parts []*formats.Object, hasTexts bool) *pb.Message {
	made := &pb.Message{MessageId: content.NewID(), Role: pb.Role_ROLE_ASSISTANT}
	for at := 0; at < len(parts); {
		if thoughts := leadingThoughts(parts[at:]); len(thoughts) > 0 {
			if part := reasoningOf(thoughts); part != nil {
				made.Parts = append(made.Parts, part)
			}
			at += len(thoughts)
			continue
		}
		if hasTexts && isText(parts[at]) {
			made.Parts = append(made.Parts, content.Text(content.String(parts[at], "text")))
		} else if part := mediaOfPart(parts[at]); part != nil {
			made.Parts = append(made.Parts, part)
		}
		at++
	}
	for _, part := range parts {
		if call := content.Object(part, callMember); call != nil {
			made.ToolCalls = append(made.ToolCalls, readCall(call))
		}
	}
	return made
}

func leadingThoughts(parts []*formats.Object) []*formats.Object {
	end := slices.IndexFunc(parts, func(part *formats.Object) bool { return !isThought(part) })
	if end < 0 {
		return parts
	}
	return parts[:end]
}

func textOf(parts []*formats.Object) string {
	var text strings.Builder
	for _, part := range parts {
		if isText(part) {
			text.WriteString(content.String(part, "text"))
		}
	}
	return text.String()
}
