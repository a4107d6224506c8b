package openaichat_test

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/openaichat"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// answer asks the model, and returns its answer to store.
func answer(ctx context.Context, history *pb.History) ([]*pb.Message, error) {
	request := openaichat.ToRequest(history.GetMessages(), formats.Options{})
	request.Set("model", "gpt-5")
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	response, err := complete(ctx, body)
	if err != nil {
		return nil, err
	}
	return openaichat.FromResponse(response)
}

// store stores a streamed answer while it arrives. send is the method of AppendMessageStream's client.
func store(send func(*pb.AppendMessageStreamRequest) error, sessionID string, chunks iter.Seq[[]byte]) error {
	reader := openaichat.NewStreamReader("gpt-5")
	header := &pb.AppendMessageStreamHeader{SessionId: sessionID, Message: reader.Header()}
	if err := send(&pb.AppendMessageStreamRequest{
		Piece: &pb.AppendMessageStreamRequest_Header{Header: header},
	}); err != nil {
		return err
	}
	for chunk := range chunks {
		delta, err := reader.Feed(chunk)
		if err != nil {
			return err
		}
		if delta == nil {
			continue
		}
		if err := send(&pb.AppendMessageStreamRequest{
			Piece: &pb.AppendMessageStreamRequest_Delta{Delta: delta},
		}); err != nil {
			return err
		}
	}
	return send(&pb.AppendMessageStreamRequest{
		Piece: &pb.AppendMessageStreamRequest_Finish{Finish: reader.Finish()},
	})
}

func complete(context.Context, []byte) ([]byte, error) {
	return []byte(`{"model": "gpt-5", "choices": [
		{"message": {"role": "assistant", "content": "Sunny."}, "finish_reason": "stop"}
	]}`), nil
}

func TestAnswer(t *testing.T) {
	question := &pb.Message{Role: pb.Role_ROLE_USER, Content: proto.String("What is the weather in Rome?")}
	stored, err := answer(t.Context(), &pb.History{Messages: []*pb.Message{question}})
	if err != nil || len(stored) != 1 || stored[0].GetContent() != "Sunny." || stored[0].GetMessageId() == "" {
		t.Errorf("%v %v", stored, err)
	}
}

func TestStore(t *testing.T) {
	var sent []*pb.AppendMessageStreamRequest
	send := func(piece *pb.AppendMessageStreamRequest) error {
		sent = append(sent, piece)
		return nil
	}
	chunks := slices.Values([][]byte{
		[]byte(`{"choices": [{"delta": {"role": "assistant", "content": ""}}]}`),
		[]byte(`{"choices": [{"delta": {"content": "Sunny."}}]}`),
		[]byte(`{"choices": [{"delta": {}, "finish_reason": "stop"}]}`),
	})
	if err := store(send, "travel", chunks); err != nil {
		t.Fatal(err)
	}
	if len(sent) != 3 || sent[1].GetDelta().GetText() != "Sunny." || sent[2].GetFinish().GetFinishReason() != "stop" {
		t.Errorf("%v", sent)
	}
}
