package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	pb "example/travel/sessionhistory/v1"
)

const (
	conversations = 300
	turnDeadline  = time.Minute // a restart of the server included
)

// keepMany keeps many conversations at once, whose calls share a stream.
func keepMany(ctx context.Context, address string, turns int) error {
	conn, err := connect(address, newCallStream().invoke)
	if err != nil {
		return err
	}
	defer conn.Close()

	history, results := pb.NewSessionHistoryServiceClient(conn), make(chan error, conversations)
	for range conversations {
		go func() { results <- keep(ctx, history, turns) }()
	}
	for range conversations {
		if err := <-results; err != nil {
			return err
		}
	}
	fmt.Printf("kept %d conversations of %d turns: each message is stored once, in order\n", conversations, turns)
	return nil
}

func keep(ctx context.Context, history pb.SessionHistoryServiceClient, turns int) error {
	t := trip{history, "example-" + uuid.NewString()}
	for number := range turns {
		if err := t.turn(ctx, int64(number)); err != nil {
			return err
		}
	}
	_, err := history.DeleteSession(ctx, &pb.DeleteSessionRequest{SessionId: t.sessionID, AllowMissing: true})
	return err
}

// turn stores a question and its answer, and counts the turn in the state of the session.
func (t trip) turn(ctx context.Context, number int64) error {
	ctx, cancel := context.WithTimeout(ctx, turnDeadline)
	defer cancel()
	asked, err := t.history.AppendMessage(ctx, &pb.AppendMessageRequest{
		SessionId:  t.sessionID,
		UserId:     "ada",
		NewSession: &pb.SessionFields{Labels: map[string]string{"app": "travel"}},
		Message:    newMessage(pb.Role_ROLE_USER, fmt.Sprintf("And on day %d?", number)),
		History:    &pb.HistoryOptions{MaxMessages: proto.Int32(20)},
	})
	if err != nil {
		return err
	}
	answered, err := t.history.AppendMessage(ctx, &pb.AppendMessageRequest{
		SessionId: t.sessionID,
		Message:   newMessage(pb.Role_ROLE_ASSISTANT, fmt.Sprintf("On day %d it is sunny.", number)),
	})
	if err != nil {
		return err
	}
	first, second := asked.GetMessage().GetSequence(), answered.GetMessage().GetSequence()
	if first != 2*number+1 || second != first+1 {
		return fmt.Errorf("the messages of turn %d have the sequences %d and %d", number, first, second)
	}
	return t.count(ctx, number)
}

// count changes the state only if it has the expected version. So a repeat has no second effect: it finds the
// version that the first attempt has made, because this conversation alone changes the state.
func (t trip) count(ctx context.Context, number int64) error {
	_, err := t.history.UpdateState(ctx, &pb.UpdateStateRequest{
		SessionId:            t.sessionID,
		Patch:                fmt.Sprintf(`{"turns": %d}`, number+1),
		ExpectedStateVersion: &number,
	})
	if reason(err) != "STATE_VERSION_MISMATCH" {
		return err
	}
	found, err := t.history.GetSession(ctx, &pb.GetSessionRequest{SessionId: t.sessionID})
	if err == nil && found.GetSession().GetStateVersion() != number+1 {
		err = fmt.Errorf("turn %d finds the state's version %d", number, found.GetSession().GetStateVersion())
	}
	return err
}
