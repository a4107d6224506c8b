package main

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	pb "example/travel/sessionhistory/v1"
)

// chunk is a piece of a model's output: text, and at the end the finish reason and the usage.
type chunk struct {
	text         string
	finishReason string
	outputTokens int32
}

// These stand for a model that breaks off, and for one that finishes.
var (
	broken = []chunk{{text: "Light clothes"}, {text: " and"}}
	whole  = append(broken[:2:2], chunk{text: " a hat."}, chunk{finishReason: "stop", outputTokens: 6})
)

// reply stores an answer while the model generates it. If the model breaks off, the service keeps
// the part as INTERRUPTED. The next answer has the same message id, and replaces it.
func (t trip) reply(ctx context.Context) error {
	_, err := t.history.AppendMessage(ctx, &pb.AppendMessageRequest{
		SessionId: t.sessionID, Message: newMessage(pb.Role_ROLE_USER, "What do I pack?"),
	})
	if err != nil {
		return err
	}
	header := &pb.AppendMessageStreamHeader{
		SessionId: t.sessionID,
		Message:   &pb.Message{MessageId: uuid.NewString(), Role: pb.Role_ROLE_ASSISTANT},
	}
	for _, answer := range [][]chunk{broken, whole} {
		stored, err := appendStream(ctx, t.history, pieces(header, answer))
		if err != nil {
			return err
		}
		message := stored.GetMessage()
		state := strings.TrimPrefix(message.GetStatus().String(), "MESSAGE_STATUS_")
		fmt.Printf("streamed message %d, %s: %s\n", message.GetSequence(), state, message.GetContent())
	}
	return nil
}

// pieces makes the pieces of a message from the chunks of a model.
func pieces(header *pb.AppendMessageStreamHeader, answer []chunk) iter.Seq[*piece] {
	return func(yield func(*piece) bool) {
		if !yield(&piece{Piece: &pb.AppendMessageStreamRequest_Header{Header: header}}) {
			return
		}
		for _, chunk := range answer {
			if !yield(chunk.piece()) {
				return
			}
		}
	}
}

func (c chunk) piece() *piece {
	if c.finishReason == "" {
		delta := &pb.AppendMessageStreamDelta{Text: &c.text}
		return &piece{Piece: &pb.AppendMessageStreamRequest_Delta{Delta: delta}}
	}
	finish := &pb.AppendMessageStreamFinish{
		FinishReason: c.finishReason,
		Usage:        &pb.Usage{OutputTokens: proto.Int32(c.outputTokens)},
	}
	return &piece{Piece: &pb.AppendMessageStreamRequest_Finish{Finish: finish}}
}
