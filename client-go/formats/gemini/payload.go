package gemini

import (
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/arrange"
	"sessionhistory.io/go/formats/internal/content"
	"sessionhistory.io/go/formats/internal/turn"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// payloadParts returns the parts in the payload of a message, if their text and calls are those of its fields.
func payloadParts(message *pb.Message) ([]*formats.Object, bool) {
	found := partsOf(camel(content.ItemOf(message, PayloadType)))
	if len(found) == 0 || !allTyped(found) {
		return nil, false
	}
	told := answer(found)
	isSame := told.GetContent() == textOf(saidParts(message)) &&
		slices.EqualFunc(told.GetToolCalls(), message.GetToolCalls(), arrange.SameCall)
	sent := slices.DeleteFunc(found, isEmptyText)
	if !isSame || slices.ContainsFunc(sent, func(part *formats.Object) bool { return !isSound("model", part) }) {
		return nil, false
	}
	return sent, true
}

// isEmptyText says whether a part has an empty text and no signature.
func isEmptyText(part *formats.Object) bool {
	return part.Get("text") == "" && !content.Given(part.Get(signatureMember))
}

func withPayload(message *pb.Message, parts []*formats.Object) *pb.Message {
	item := content.Of("role", "model", "parts", turn.Array(parts))
	message.Payload, message.PayloadType = []byte(content.Dumped(item)), PayloadType
	return message
}

// withCalls returns the parts of a payload, with the calls that are kept and their ids.
func withCalls(parts []*formats.Object, caller arrange.Caller) []*formats.Object {
	var made []*formats.Object
	kept, index := caller.Calls, -1
	for _, part := range parts {
		if !isCall(part) {
			made = append(made, part)
			continue
		}
		index++
		if len(kept) == 0 || kept[0].Index != index {
			continue
		}
		id := idOf(kept[0].Call, caller.Message.GetToolCalls()[index])
		call := content.Merged(content.Object(part, callMember), id)
		made = append(made, content.Merged(part, content.Of(callMember, call)))
		kept = kept[1:]
	}
	return made
}

// allTyped says whether what parts have is of the type that the API names: text, or else an object.
func allTyped(parts []*formats.Object) bool {
	for _, part := range parts {
		for _, member := range data {
			_, isText := part.Get(member).(string)
			isObject := content.Object(part, member) != nil
			if part.Has(member) && (isText != (member == "text") || isObject == isText) {
				return false
			}
		}
		if !isTextOrAbsent(part, callMember, "id") || !isTextOrAbsent(part, callMember, "name") {
			return false
		}
	}
	return true
}

func isTextOrAbsent(part *formats.Object, names ...string) bool {
	value := content.At(part, names...)
	_, isText := value.(string)
	return value == nil || isText
}
