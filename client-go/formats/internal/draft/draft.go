// Package draft has the message that the events of a streamed answer make, and its pieces.
package draft

import (
	"google.golang.org/protobuf/proto"

	"sessionhistory.io/go/formats/internal/content"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// Draft is the message so far, and the additions since Take.
type Draft struct {
	Message *pb.Message
	pending *pb.AppendMessageStreamDelta
}

// New returns an empty draft of an answer.
func New(provider, model string) *Draft {
	return &Draft{Message: &pb.Message{
		MessageId: content.NewID(), Role: pb.Role_ROLE_ASSISTANT, Provider: provider, Model: model,
	}}
}

// Header returns the beginning of the message: its id, role, provider and model.
func (d *Draft) Header() *pb.Message {
	return &pb.Message{
		MessageId: d.Message.GetMessageId(),
		Role:      d.Message.GetRole(),
		Provider:  d.Message.GetProvider(),
		Model:     d.Message.GetModel(),
	}
}

// NameModel sets the model that the stream names, unless the caller has named one.
func (d *Draft) NameModel(model string) {
	if d.Message.GetModel() == "" {
		d.Message.Model = model
	}
}

// Take returns the additions since the last call; nil if there are none.
func (d *Draft) Take() *pb.AppendMessageStreamDelta {
	taken := d.pending
	d.pending = nil
	return taken
}

// Text adds text.
func (d *Draft) Text(text string) {
	d.Message.Content = proto.String(d.Message.GetContent() + text)
	d.delta().Text = proto.String(d.delta().GetText() + text)
}

// Call begins a tool call.
func (d *Draft) Call(call *pb.ToolCall) {
	d.add(&pb.ToolCallDelta{
		Index: int32(len(d.Message.GetToolCalls())), Id: call.GetId(), Name: call.GetName(), Arguments: call.GetArguments(),
	})
	d.Message.ToolCalls = append(d.Message.ToolCalls, call)
}

// Arguments adds to the arguments of a call.
func (d *Draft) Arguments(index int, arguments string) {
	d.Message.ToolCalls[index].Arguments += arguments
	d.add(&pb.ToolCallDelta{Index: int32(index), Arguments: arguments})
}

// Part adds a part.
func (d *Draft) Part(part *pb.Part) {
	d.Message.Parts = append(d.Message.Parts, part)
	d.delta().Parts = append(d.delta().Parts, part)
}

// Finished returns the whole message.
func (d *Draft) Finished(finish *pb.AppendMessageStreamFinish) *pb.Message {
	message := proto.CloneOf(d.Message)
	message.Usage = finish.GetUsage()
	message.Payload, message.PayloadType = finish.GetPayload(), finish.GetPayloadType()
	message.Status, message.FinishReason = finish.GetStatus(), finish.GetFinishReason()
	return message
}

func (d *Draft) delta() *pb.AppendMessageStreamDelta {
	if d.pending == nil {
		d.pending = &pb.AppendMessageStreamDelta{}
	}
	return d.pending
}

func (d *Draft) add(call *pb.ToolCallDelta) {
	d.delta().ToolCalls = append(d.delta().ToolCalls, call)
}
