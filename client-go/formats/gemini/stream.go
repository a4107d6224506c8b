package gemini

import (
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
	"sessionhistory.io/go/formats/internal/draft"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// StreamReader reads the chunks of a streamed answer.
type StreamReader struct {
	draft    *draft.Draft
	parts    []*formats.Object
	thoughts []*formats.Object // not written yet, because more of them may follow
	reason   string
	usage    *formats.Object
}

// NewStreamReader returns a reader. The model is the one that the caller has asked for; empty: the model that the
// stream names.
func NewStreamReader(model string) *StreamReader {
	return &StreamReader{draft: draft.New(provider, model), usage: formats.NewObject()}
}

// Header returns the beginning of the message, for the header of AppendMessageStream.
func (r *StreamReader) Header() *pb.Message {
	return r.draft.Header()
}

// Feed returns the additions of a chunk to the message; nil if there are none.
func (r *StreamReader) Feed(event []byte) (*pb.AppendMessageStreamDelta, error) {
	chunk, err := loaded(event)
	if err != nil {
		return nil, err
	}
	r.draft.NameModel(content.String(chunk, "modelVersion"))
	r.usage = content.Merged(r.usage, content.Object(chunk, "usageMetadata"))
	if candidates := content.Array(chunk, "candidates"); len(candidates) > 0 {
		if reason := content.String(candidates[0], "finishReason"); reason != "" {
			r.reason = reason
		}
		for _, part := range partsOf(content.At(candidates[0], "content")) {
			r.add(part)
		}
	}
	if r.reason != "" {
		r.think()
	}
	return r.draft.Take(), nil
}

// Finish returns the end of the message, for the finish of AppendMessageStream. Without a finish reason its status is
// INTERRUPTED.
func (r *StreamReader) Finish() *pb.AppendMessageStreamFinish {
	told := answer(r.parts)
	return &pb.AppendMessageStreamFinish{
		Usage:        usage(r.usage),
		Payload:      told.GetPayload(),
		PayloadType:  told.GetPayloadType(),
		Status:       status(r.reason),
		FinishReason: r.reason,
	}
}

// Message returns the whole message, as the stream stores it.
func (r *StreamReader) Message() *pb.Message {
	return r.draft.Finished(r.Finish())
}

func (r *StreamReader) add(part *formats.Object) {
	r.join(part)
	if isThought(part) {
		r.thoughts = append(r.thoughts, part)
		return
	}
	r.think()
	text := content.String(part, "text")
	if isText(part) && text != "" {
		r.draft.Text(text)
	} else if call := content.Object(part, callMember); call != nil {
		r.draft.Call(readCall(call))
	} else if medium := mediaOfPart(part); medium != nil {
		r.draft.Part(medium)
	}
}

// join joins text with the text before it. A signature belongs to its part, which stays apart.
func (r *StreamReader) join(part *formats.Object) {
	at := len(r.parts) - 1
	if at >= 0 && isPlain(r.parts[at]) && isPlain(part) && r.parts[at].Has("thought") == part.Has("thought") {
		text := content.String(r.parts[at], "text") + content.String(part, "text")
		r.parts[at] = content.Merged(r.parts[at], content.Of("text", text))
	} else if !isEmptyText(part) {
		r.parts = append(r.parts, part)
	}
}

// isPlain says whether a part is text that a stream splits into several.
func isPlain(part *formats.Object) bool {
	names := slices.DeleteFunc(part.Names(), func(name string) bool { return name == "thought" })
	return slices.Equal(names, []string{"text"})
}

func (r *StreamReader) think() {
	thought := reasoningOf(r.thoughts)
	r.thoughts = nil
	if thought != nil {
		r.draft.Part(thought)
	}
}

// status returns the status of an answer. With any other reason than STOP the answer may be half.
func status(reason string) pb.MessageStatus {
	if reason == "STOP" {
		return pb.MessageStatus_MESSAGE_STATUS_COMPLETE
	}
	return pb.MessageStatus_MESSAGE_STATUS_INTERRUPTED
}

// usage returns the tokens of a call. Thoughts, which Gemini counts apart, are tokens of the output.
func usage(told any) *pb.Usage {
	if !content.Given(told) {
		return nil
	}
	output := content.Count(told, "candidatesTokenCount")
	if thoughts := content.Count(told, "thoughtsTokenCount"); thoughts != nil && output != nil {
		*output += *thoughts
	} else if thoughts != nil {
		output = thoughts
	}
	return &pb.Usage{
		InputTokens:     content.Count(told, "promptTokenCount"),
		OutputTokens:    output,
		CacheReadTokens: content.Count(told, "cachedContentTokenCount"),
	}
}
