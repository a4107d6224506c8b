package openaichat

import (
	"google.golang.org/protobuf/proto"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
	"sessionhistory.io/go/formats/internal/draft"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// StreamReader reads the chunks of a streamed answer. Ask for stream_options: {"include_usage": true}.
type StreamReader struct {
	draft        *draft.Draft
	usage        *pb.Usage
	finishReason string
	said         *formats.Object // the text of each member
	begun        map[int]*pb.ToolCall
	newest       map[int]int // the number of the newest call of each index of the API
	places       map[int]int // of the calls in the message, by their index in the stream
	custom       []bool      // whether a call is one of a custom tool
}

// NewStreamReader returns a reader. The model is the one that the caller has asked for; empty: the model that the
// stream names.
func NewStreamReader(model string) *StreamReader {
	return &StreamReader{
		draft:  draft.New(provider, model),
		said:   formats.NewObject(),
		begun:  map[int]*pb.ToolCall{},
		newest: map[int]int{},
		places: map[int]int{},
	}
}

// Header returns the beginning of the message, for the header of AppendMessageStream.
func (r *StreamReader) Header() *pb.Message {
	return r.draft.Header()
}

// Feed returns the additions of a chunk to the message; nil if there are none.
func (r *StreamReader) Feed(chunk []byte) (*pb.AppendMessageStreamDelta, error) {
	event, err := content.Loaded(chunk)
	if err != nil {
		return nil, err
	}
	r.draft.NameModel(content.String(event, "model"))
	if told := usage(event.Get("usage")); told != nil {
		r.usage = told
	}
	for _, choice := range content.Array(event, "choices") {
		if index := content.Count(choice, "index"); index == nil || *index == 0 {
			r.delta(content.At(choice, "delta"))
			if reason := content.String(choice, "finish_reason"); reason != "" {
				r.finishReason = reason
			}
		}
	}
	if r.finishReason != "" {
		r.think()
	}
	return r.draft.Take(), nil
}

// Finish returns the end of the message, for the finish of AppendMessageStream. Without the last chunk its status is
// INTERRUPTED.
func (r *StreamReader) Finish() *pb.AppendMessageStreamFinish {
	return &pb.AppendMessageStreamFinish{
		Usage:        r.usage,
		Payload:      payload(r.item()),
		PayloadType:  PayloadType,
		Status:       status(r.finishReason),
		FinishReason: r.finishReason,
	}
}

// Message returns the whole message, as the stream stores it.
func (r *StreamReader) Message() *pb.Message {
	return r.draft.Finished(r.Finish())
}

func (r *StreamReader) delta(delta any) {
	for _, name := range reasoningKeys {
		r.add(name, delta)
	}
	for _, name := range []string{"content", "refusal"} {
		if text := content.String(delta, name); text != "" {
			r.think()
			r.draft.Text(text)
		}
		r.add(name, delta)
	}
	for _, call := range content.Array(delta, "tool_calls") {
		r.think()
		r.call(call)
	}
}

func (r *StreamReader) add(name string, delta any) {
	if text, ok := content.At(delta, name).(string); ok {
		r.said.Set(name, content.String(r.said, name)+text)
	}
}

// think adds the reasoning as a part, once, when something else follows it.
func (r *StreamReader) think() {
	if len(r.draft.Message.GetParts()) > 0 {
		return
	}
	for _, part := range readReasoning(r.said) {
		r.draft.Part(part)
	}
}

// call adds to a call, which begins when its name has arrived.
func (r *StreamReader) call(delta any) {
	index := r.number(delta)
	arguments := content.String(delta, "function", "arguments") + content.String(delta, "custom", "input")
	if place, ok := r.places[index]; !ok {
		r.begin(index, delta, arguments)
	} else if arguments != "" {
		r.draft.Arguments(place, arguments)
	}
}

// number returns the number of a delta's call. Some servers give all calls one index, or none.
func (r *StreamReader) number(delta any) int {
	index, id := -1, content.String(delta, "id")
	if told := content.Count(delta, "index"); told != nil {
		index = int(*told)
	}
	isNamed := content.String(delta, "function", "name")+content.String(delta, "custom", "name") != ""
	if number, ok := r.newest[index]; ok {
		known := r.begun[number].GetId()
		isOther := id != "" && known != "" && known != id
		if !isOther && (index >= 0 || !isNamed || id != "") {
			return number
		}
	}
	r.newest[index] = len(r.begun)
	return r.newest[index]
}

func (r *StreamReader) begin(index int, delta any, arguments string) {
	call := r.begun[index]
	if call == nil {
		call = &pb.ToolCall{}
		r.begun[index] = call
	}
	if id := content.String(delta, "id"); id != "" {
		call.Id = id
	}
	call.Name += content.String(delta, "function", "name") + content.String(delta, "custom", "name")
	call.Arguments += arguments
	if call.GetName() != "" {
		r.places[index] = len(r.draft.Message.GetToolCalls())
		r.custom = append(r.custom, content.Given(content.At(delta, "custom")))
		r.draft.Call(proto.CloneOf(call))
	}
}

func (r *StreamReader) item() *formats.Object {
	item := content.Merged(content.Of("role", "assistant"), r.said)
	calls := []any{}
	for at, call := range r.draft.Message.GetToolCalls() {
		calls = append(calls, rawCall(call, r.custom[at]))
	}
	item.Set("tool_calls", calls)
	return item
}
