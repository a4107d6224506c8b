package anthropic

import (
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/arrange"
	"sessionhistory.io/go/formats/internal/content"
	"sessionhistory.io/go/formats/internal/draft"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

const provider = "anthropic"

// growing are the members of a block to which a delta adds text: both have the same name.
var growing = map[string]string{
	"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature",
}

// StreamReader reads the events of a streamed answer. Thinking is a part when its block ends, because its signature
// comes last. Blocks of tools that Anthropic runs are in the payload only.
type StreamReader struct {
	draft        *draft.Draft
	blocks       map[int]*formats.Object
	written      map[int]string // the arguments of each call, as text
	places       map[int]int    // of the calls in the message, by the index of their block
	usage        *formats.Object
	finishReason string
	stopped      bool
}

// NewStreamReader returns a reader. The model is the one that the caller has asked for; empty: the model that the
// stream names.
func NewStreamReader(model string) *StreamReader {
	return &StreamReader{
		draft:   draft.New(provider, model),
		blocks:  map[int]*formats.Object{},
		written: map[int]string{},
		places:  map[int]int{},
		usage:   formats.NewObject(),
	}
}

// Header returns the beginning of the message, for the header of AppendMessageStream.
func (r *StreamReader) Header() *pb.Message {
	return r.draft.Header()
}

// Feed returns the additions of an event to the message; nil if there are none. The event is the object of a line
// "data:".
func (r *StreamReader) Feed(event []byte) (*pb.AppendMessageStreamDelta, error) {
	told, err := content.Loaded(event)
	if err != nil {
		return nil, err
	}
	r.read(told)
	return r.draft.Take(), nil
}

// Finish returns the end of the message, for the finish of AppendMessageStream. Without message_stop its status is
// INTERRUPTED.
func (r *StreamReader) Finish() *pb.AppendMessageStreamFinish {
	finish := &pb.AppendMessageStreamFinish{Usage: usage(r.usage), FinishReason: r.finishReason}
	if !r.stopped {
		finish.Status = pb.MessageStatus_MESSAGE_STATUS_INTERRUPTED
		return finish
	}
	finish.Status = status(r.finishReason)
	finish.Payload, finish.PayloadType = []byte(content.Dumped(r.whole())), PayloadType
	return finish
}

// Message returns the whole message, as the stream stores it.
func (r *StreamReader) Message() *pb.Message {
	return r.draft.Finished(r.Finish())
}

func (r *StreamReader) read(event *formats.Object) {
	switch content.String(event, "type") {
	case "message_start":
		r.draft.NameModel(content.String(event, "message", "model"))
		r.use(content.Object(event, "message", "usage"))
	case "message_delta":
		r.finishReason = content.String(event, "delta", "stop_reason")
		r.use(content.Object(event, "usage"))
	case "message_stop":
		r.stopped = true
	case "content_block_start", "content_block_delta", "content_block_stop":
		r.readBlock(event)
	}
}

func (r *StreamReader) use(told *formats.Object) {
	for _, name := range told.Names() {
		if value := told.Get(name); value != nil {
			r.usage.Set(name, value)
		}
	}
}

func (r *StreamReader) readBlock(event *formats.Object) {
	told := content.Count(event, "index")
	if told == nil {
		return
	}
	index := int(*told)
	switch content.String(event, "type") {
	case "content_block_start":
		r.start(index, content.Merged(content.Object(event, "content_block")))
	case "content_block_delta":
		r.add(index, content.Object(event, "delta"))
	case "content_block_stop":
		r.end(index)
	}
}

func (r *StreamReader) start(index int, block *formats.Object) {
	r.blocks[index] = block
	switch typeOf(block) {
	case "tool_use":
		r.places[index] = len(r.draft.Message.GetToolCalls())
		r.draft.Call(&pb.ToolCall{Id: content.String(block, "id"), Name: content.String(block, "name")})
	case "text":
		if text := content.String(block, "text"); text != "" {
			r.draft.Text(text)
		}
	}
}

// add adds a delta to its block.
func (r *StreamReader) add(index int, delta *formats.Object) {
	block, kind := r.blocks[index], content.String(delta, "type")
	switch {
	case block == nil:
	case kind == "input_json_delta":
		r.addArguments(index, content.String(delta, "partial_json"))
	case kind == "citations_delta":
		block.Set("citations", append(slices.Clone(content.Array(block, "citations")), delta.Get("citation")))
	case growing[kind] != "":
		added := content.String(delta, growing[kind])
		block.Set(growing[kind], content.String(block, growing[kind])+added)
		if kind == "text_delta" && added != "" {
			r.draft.Text(added)
		}
	}
}

func (r *StreamReader) addArguments(index int, text string) {
	r.written[index] += text
	if place, ok := r.places[index]; ok && text != "" {
		r.draft.Arguments(place, text)
	}
}

func (r *StreamReader) end(index int) {
	block := r.blocks[index]
	if typeOf(block) == "tool_use" && r.written[index] == "" {
		input := content.Object(block, "input")
		r.addArguments(index, content.Dumped(content.Merged(input)))
		return
	}
	if thought := reasoningOf(block); thought != nil {
		r.draft.Part(thought)
	}
}

// whole returns the blocks with the input that their deltas make.
func (r *StreamReader) whole() []any {
	indexes := make([]int, 0, len(r.blocks))
	for index := range r.blocks {
		indexes = append(indexes, index)
	}
	slices.Sort(indexes)
	blocks := make([]any, len(indexes))
	for i, index := range indexes {
		block := r.blocks[index]
		if text := r.written[index]; text != "" {
			block = content.Merged(block, content.Of("input", arrange.ArgumentsObject(text)))
		}
		blocks[i] = block
	}
	return blocks
}

// status returns the status of an answer: one that a limit has cut may end with half a call.
func status(finishReason string) pb.MessageStatus {
	switch finishReason {
	case "max_tokens", "model_context_window_exceeded", "refusal":
		return pb.MessageStatus_MESSAGE_STATUS_INTERRUPTED
	}
	return pb.MessageStatus_MESSAGE_STATUS_COMPLETE
}

// usage returns the tokens as Anthropic counts them: input_tokens are those outside of the cache.
func usage(told any) *pb.Usage {
	made := &pb.Usage{
		InputTokens:      content.Count(told, "input_tokens"),
		OutputTokens:     content.Count(told, "output_tokens"),
		CacheReadTokens:  content.Count(told, "cache_read_input_tokens"),
		CacheWriteTokens: content.Count(told, "cache_creation_input_tokens"),
	}
	if made.InputTokens == nil && made.OutputTokens == nil && made.CacheReadTokens == nil && made.CacheWriteTokens == nil {
		return nil
	}
	return made
}
