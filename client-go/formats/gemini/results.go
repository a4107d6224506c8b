package gemini

import (
	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/arrange"
	"sessionhistory.io/go/formats/internal/content"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// responsePart returns the part of the results of a call.
func responsePart(answered arrange.AnsweredCall, stored *pb.ToolCall) *formats.Object {
	made := content.Merged(
		idOf(answered.Call, stored),
		content.Of("name", nameOf(answered.Call.GetName()), "response", response(answered.Results)),
	)
	return content.Of(responseMember, made)
}

// resultMessage returns the message of a response.
func resultMessage(value *formats.Object) *pb.Message {
	made := &pb.Message{
		MessageId: content.NewID(), Role: pb.Role_ROLE_TOOL, ToolCallId: content.String(value, "id"),
	}
	told := value.Get("response")
	switch output := only(told, outputMember).(type) {
	case string:
		made.Content = &output
		return made
	case []any:
		if parts := texts(output); len(parts) > 1 {
			made.Parts = parts
			return made
		}
	}
	if text, ok := only(told, errorMember).(string); ok {
		made.Content, made.Metadata = &text, content.Dumped(content.Of(isError, true))
	} else if told != nil {
		made.Parts = []*pb.Part{content.JSON(told)}
	}
	return made
}

// only returns the value of a name, if the object has no other; else nil.
func only(told any, name string) any {
	object := content.Object(told)
	if len(object.Names()) != 1 {
		return nil
	}
	return object.Get(name)
}

// texts returns texts as parts; nil if one of the values is no text, or an empty one.
func texts(values []any) []*pb.Part {
	var parts []*pb.Part
	for _, value := range values {
		text, _ := value.(string)
		if text == "" {
			return nil
		}
		parts = append(parts, content.Text(text))
	}
	return parts
}

// response returns the object of the results of a call: their texts, or the JSON of the only one.
func response(results []*pb.Message) *formats.Object {
	if len(results) == 0 {
		return content.Of(outputMember, arrange.NoResult)
	}
	if value := onlyJSON(results); value != nil {
		return value
	}
	var told []any
	hasFailed := false
	for _, one := range results {
		for _, part := range saidParts(one) {
			if part.Has("text") {
				told = append(told, part.Get("text"))
			}
		}
		metadata, _ := formats.Decode([]byte(one.GetMetadata()))
		hasFailed = hasFailed || content.At(metadata, isError) == true
	}
	switch {
	case len(told) > 1:
		return content.Of(outputMember, told)
	case len(told) == 0:
		return content.Of(outputMember, "")
	case hasFailed:
		return content.Of(errorMember, told[0])
	}
	return content.Of(outputMember, told[0])
}

// onlyJSON returns the object of a result that has nothing else, unless it looks like the response of a text; else nil.
func onlyJSON(results []*pb.Message) *formats.Object {
	if len(results) != 1 || results[0].Content != nil || len(results[0].GetParts()) != 1 {
		return nil
	}
	part, ok := results[0].GetParts()[0].GetKind().(*pb.Part_Json)
	if !ok {
		return nil
	}
	value, _ := formats.Decode([]byte(part.Json))
	object := content.Object(value)
	if names := object.Names(); len(names) == 1 && (names[0] == outputMember || names[0] == errorMember) {
		return nil
	}
	return object
}
