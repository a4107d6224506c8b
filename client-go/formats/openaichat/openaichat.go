// Package openaichat is for OpenAI's Chat Completions API, which many servers have: the messages of a request, and
// answers.
//
// For a request that ToRequest has made, FromRequest returns messages of which ToRequest makes the same request. A
// request has no place for reasoning without the payload of this API, for the name of a tool that answered, and for
// the service's own fields (turn, metadata, usage). Parallel calls that were stored apart are one message, and so are
// several results of one call. JSON is text. Media that a role does not take are a message of the user behind it.
package openaichat

import (
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/arrange"
	"sessionhistory.io/go/formats/internal/content"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

const provider = "openai"

var (
	ids    = arrange.IDRule{MaxLength: maxCallIDLength}
	spoken = []string{"content", "tool_calls", "refusal", "audio", "function_call"}
)

// ToRequest returns {"messages": [...]} for a request, of messages in stored order.
func ToRequest(messages []*pb.Message, options formats.Options) *formats.Object {
	items := []any{}
	for _, step := range arrange.Messages(messages, options.Unanswered, ids) {
		if step.Said != nil {
			items = append(items, saidItems(step.Said)...)
		} else {
			items = append(items, calledItems(step)...)
		}
	}
	return content.Of("messages", items)
}

// FromRequest returns the messages of a request's body.
func FromRequest(body []byte) ([]*pb.Message, error) {
	request, err := content.Loaded(body)
	if err != nil {
		return nil, err
	}
	var messages []*pb.Message
	for _, item := range content.Array(request, "messages") {
		message, err := readWithPayload(item)
		if err != nil {
			return nil, err
		}
		messages = append(messages, message)
	}
	return messages, nil
}

// FromResponse returns the message of a response's body, or none if it has no choice. Of several choices it is the
// first. Its payload is the API's message without members that are empty, so that a stream of the same answer stores
// the same.
func FromResponse(body []byte) ([]*pb.Message, error) {
	completion, err := content.Loaded(body)
	choices := content.Array(completion, "choices")
	if err != nil || len(choices) == 0 {
		return nil, err
	}
	item := content.At(choices[0], "message")
	message, err := read(withoutEmptyContent(item))
	if err != nil {
		return nil, err
	}
	message.Provider, message.Model = provider, content.String(completion, "model")
	message.FinishReason = content.String(choices[0], "finish_reason")
	message.Status = status(message.GetFinishReason())
	message.Usage = usage(completion.Get("usage"))
	message.Payload, message.PayloadType = payload(item), PayloadType
	return []*pb.Message{message}, nil
}

func saidItems(message *pb.Message) []any {
	var items []any
	item := itemOf(message)
	if slices.ContainsFunc(spoken, func(name string) bool { return content.Given(item.Get(name)) }) {
		items = append(items, item)
	}
	return append(items, shown(refusedMedia(message))...)
}

// itemOf returns the own item of a message, or else one by its fields.
func itemOf(message *pb.Message) *formats.Object {
	if item := ownItem(message); item != nil {
		return item
	}
	return written(message)
}

// calledItems returns the message with the calls of all messages of a row, and their results.
func calledItems(step arrange.Step) []any {
	var first *formats.Object
	var calls, results, media []any
	for _, caller := range step.Callers {
		media = append(media, refusedMedia(caller.Message)...)
		if len(caller.Calls) > 0 {
			item := callerItem(caller)
			calls = append(calls, content.Array(item, "tool_calls")...)
			if first == nil {
				first = item
			}
		}
	}
	for _, answered := range step.Calls() {
		results = append(results, result(answered))
		for _, message := range answered.Results {
			media = append(media, refusedMedia(message)...)
		}
	}
	first.Set("tool_calls", calls)
	return slices.Concat([]any{first}, results, shown(media))
}

// shown returns a message of the user with media that another role does not take.
func shown(media []any) []any {
	if len(media) == 0 {
		return nil
	}
	return []any{content.Of("role", "user", "content", media)}
}

// callerItem returns the item of a message with calls: its own one with the calls that are kept, as they are sent.
func callerItem(caller arrange.Caller) *formats.Object {
	own := ownItem(caller.Message)
	item := own
	if own == nil {
		item = written(caller.Message)
	}
	stored := content.Array(own, "tool_calls")
	item.Delete("function_call")
	var calls []any
	for _, answered := range caller.Calls {
		calls = append(calls, callItem(answered, stored))
	}
	item.Set("tool_calls", calls)
	return item
}

func callItem(answered arrange.AnsweredCall, stored []any) *formats.Object {
	var item *formats.Object
	if answered.Index < len(stored) {
		item = content.Object(stored[answered.Index])
	}
	if content.String(item, "type") == "custom" {
		name := content.AcceptedName(content.String(item, "custom", "name"))
		custom := content.Merged(content.Object(item, "custom"), content.Of("name", name))
		return content.Merged(item, content.Of("id", answered.Call.GetId(), "custom", custom))
	}
	made := writtenCall(answered.Call)
	function := content.Merged(content.Object(item, "function"), content.Object(made, "function"))
	return content.Merged(item, made, content.Of("function", function))
}

// result returns the one result of a call that the API takes.
func result(answered arrange.AnsweredCall) *formats.Object {
	made := content.Of("role", "tool", "tool_call_id", answered.Call.GetId(), "content", arrange.NoResult)
	switch len(answered.Results) {
	case 0:
		return made
	case 1:
		item := itemOf(answered.Results[0])
		item.Set("tool_call_id", answered.Call.GetId())
		return item
	}
	made.Set("content", "")
	if parts := textsAsParts(answered.Results); len(parts) > 0 {
		made.Set("content", parts)
	}
	return made
}

func withoutEmptyContent(item any) any {
	if content.Given(content.At(item, "content")) {
		return item
	}
	return content.Merged(content.Object(item), content.Of("content", nil))
}

// payload returns an answer's message as a payload, in one order of members.
func payload(item any) []byte {
	told := content.Object(item)
	kept := content.Of("role", "assistant", "content", nil)
	known := slices.Concat([]string{"role", "content", "refusal"}, reasoningKeys, []string{"tool_calls"})
	for _, name := range append(known, told.Names()...) {
		if value := told.Get(name); !isEmpty(value) {
			kept.Set(name, value)
		}
	}
	return []byte(content.Dumped(kept))
}

func isEmpty(value any) bool {
	array, isArray := value.([]any)
	return value == nil || isArray && len(array) == 0 || !isArray && value == ""
}

// status returns whether an answer is whole. One that was cut may have half arguments.
func status(finishReason string) pb.MessageStatus {
	switch finishReason {
	case "", "length", "content_filter":
		return pb.MessageStatus_MESSAGE_STATUS_INTERRUPTED
	}
	return pb.MessageStatus_MESSAGE_STATUS_COMPLETE
}

func usage(told any) *pb.Usage {
	if !content.Given(told) {
		return nil
	}
	return &pb.Usage{
		InputTokens:      content.Count(told, "prompt_tokens"),
		OutputTokens:     content.Count(told, "completion_tokens"),
		CacheReadTokens:  content.Count(told, "prompt_tokens_details", "cached_tokens"),
		CacheWriteTokens: content.Count(told, "prompt_tokens_details", "cache_write_tokens"),
	}
}
