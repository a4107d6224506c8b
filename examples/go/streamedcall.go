package main

import (
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "example/travel/sessionhistory/v1"
)

// streamedCall returns a call with a copy of a request; nil if CallStream does not have its method.
func streamedCall(request proto.Message) *pb.StreamedCall {
	call := (&pb.StreamedCall{}).ProtoReflect()
	field := fieldOf(call, "request", request)
	if field == nil {
		return nil
	}
	call.Set(field, protoreflect.ValueOfMessage(proto.Clone(request).ProtoReflect()))
	return call.Interface().(*pb.StreamedCall)
}

func sessionOf(call *pb.StreamedCall) string {
	m := call.ProtoReflect()
	request := m.Get(m.WhichOneof(m.Descriptor().Oneofs().ByName("request"))).Message().Interface()
	return request.(interface{ GetSessionId() string }).GetSessionId()
}

// answer gives the outcome of a call as a unary call does: in reply, or as an error with the same details.
func answer(outcome *pb.CallOutcome, reply proto.Message) error {
	if e := outcome.GetError(); e != nil {
		code := codes.Code(e.GetCode())
		if code == codes.Unauthenticated { // the stream's key has expired; another stream has the next one
			code = codes.Unavailable
		}
		return status.ErrorProto(&spb.Status{Code: int32(code), Message: e.GetMessage(), Details: e.GetDetails()})
	}
	m := outcome.ProtoReflect()
	proto.Merge(reply, m.Get(fieldOf(m, "outcome", reply)).Message().Interface())
	return nil
}

// fieldOf returns the field of a oneof that has the type of a message; nil if none has it.
func fieldOf(m protoreflect.Message, oneof protoreflect.Name, message proto.Message) protoreflect.FieldDescriptor {
	fields := m.Descriptor().Oneofs().ByName(oneof).Fields()
	for i := range fields.Len() {
		if fields.Get(i).Message() == message.ProtoReflect().Descriptor() {
			return fields.Get(i)
		}
	}
	return nil
}

// mayRepeat returns whether a call that failed may succeed now, and had no effect or can have it only once: the
// server knows a message by its id, and a change of the state by the version that it expects.
func mayRepeat(request any, err error) bool {
	switch reason(err) {
	case "STREAM_FULL", "STREAM_ENDING":
		return true
	}
	if status.Code(err) != codes.Unavailable {
		return false
	}
	switch r := request.(type) {
	case *pb.AppendMessageRequest:
		return r.GetMessage().GetMessageId() != ""
	case *pb.AppendMessagesRequest:
		for _, message := range r.GetMessages() {
			if message.GetMessageId() == "" {
				return false
			}
		}
	case *pb.UpdateStateRequest:
		return r.ExpectedStateVersion != nil
	}
	return true
}
