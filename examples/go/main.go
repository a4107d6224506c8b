// Travel keeps a conversation about a trip in Session History.
package main

//go:generate buf generate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "example/travel/sessionhistory/v1"
)

func main() {
	turns := flag.Int("many", 0, "keep many conversations at once, of so many turns")
	flag.Parse()
	address := "127.0.0.1:50051"
	if flag.NArg() > 0 {
		address = flag.Arg(0)
	}
	run := keepOne
	if *turns > 0 {
		run = func(ctx context.Context, address string) error { return keepMany(ctx, address, *turns) }
	}
	if err := run(context.Background(), address); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", describe(err), status.Convert(err).Message())
		os.Exit(1)
	}
}

func keepOne(ctx context.Context, address string) error {
	conn, err := connect(address)
	if err != nil {
		return err
	}
	defer conn.Close()

	t := trip{pb.NewSessionHistoryServiceClient(conn), "example-" + uuid.NewString()}
	for _, step := range []func(context.Context) error{
		t.create, t.ask, t.answer, t.look, t.list, t.reply, t.intrude, t.delete,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

type trip struct {
	history   pb.SessionHistoryServiceClient
	sessionID string
}

// newMessage makes the id before the call. So the call is safe to retry: if the first attempt has
// stored the message, the service returns it and stores nothing.
func newMessage(role pb.Role, content string) *pb.Message {
	return &pb.Message{MessageId: uuid.NewString(), Role: role, Content: &content}
}

func (t trip) create(ctx context.Context) error {
	_, err := t.history.CreateSession(ctx, &pb.CreateSessionRequest{
		SessionId:     t.sessionID,
		UserId:        "ada",
		Session:       &pb.SessionFields{Labels: map[string]string{"app": "travel"}},
		AllowExisting: true, // a retry finds the session that the first attempt has made
	})
	if err != nil {
		return err
	}
	fmt.Println("created session", t.sessionID)

	system := newMessage(pb.Role_ROLE_SYSTEM, "You plan trips.")
	system.Pinned = true
	_, err = t.history.AppendMessage(ctx, &pb.AppendMessageRequest{
		SessionId: t.sessionID, Message: system,
	})
	return err
}

// ask stores a question and gets the context for the model in the same round trip.
func (t trip) ask(ctx context.Context) error {
	stored, err := t.history.AppendMessage(ctx, &pb.AppendMessageRequest{
		SessionId: t.sessionID,
		Message:   newMessage(pb.Role_ROLE_USER, "What is the weather in Rome?"),
		History:   &pb.HistoryOptions{MaxMessages: proto.Int32(20), TokenBudget: proto.Int32(4000)},
	})
	if err != nil {
		return err
	}
	window := stored.GetHistory()
	fmt.Printf("stored message %d, the context has %d messages, %d tokens:\n",
		stored.GetMessage().GetSequence(), len(window.GetMessages()), window.GetTotalTokens())
	show(window)
	return nil
}

// answer stores a tool call, its result and the answer: all or nothing.
func (t trip) answer(ctx context.Context) error {
	call := &pb.Message{
		MessageId: uuid.NewString(),
		Role:      pb.Role_ROLE_ASSISTANT,
		ToolCalls: []*pb.ToolCall{{Id: "c1", Name: "weather", Arguments: `{"city":"Rome"}`}},
	}
	result := newMessage(pb.Role_ROLE_TOOL, "24 degrees, sunny")
	result.ToolCallId = "c1"
	answer := newMessage(pb.Role_ROLE_ASSISTANT, "Sunny, 24 degrees.")
	stored, err := t.history.AppendMessages(ctx, &pb.AppendMessagesRequest{
		SessionId: t.sessionID,
		Messages:  []*pb.Message{call, result, answer},
	})
	if err != nil {
		return err
	}
	messages := stored.GetMessages()
	fmt.Printf("stored messages %d to %d\n",
		messages[0].GetSequence(), messages[len(messages)-1].GetSequence())
	return nil
}

func (t trip) look(ctx context.Context) error {
	response, err := t.history.GetHistory(ctx, &pb.GetHistoryRequest{
		SessionId: t.sessionID, UserId: "ada", MaxMessages: proto.Int32(4),
	})
	if err != nil {
		return err
	}
	window := response.GetHistory()
	fmt.Printf("the newest that fit 4 messages, %d left out:\n", window.GetOmittedMessageCount())
	show(window)
	return nil
}

func (t trip) list(ctx context.Context) error {
	messages, pages, token := 0, 0, ""
	for {
		page, err := t.history.ListMessages(ctx, &pb.ListMessagesRequest{
			SessionId: t.sessionID, PageSize: 2, PageToken: token,
		})
		if err != nil {
			return err
		}
		messages += len(page.GetMessages())
		pages++
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	fmt.Printf("listed %d messages in %d pages\n", messages, pages)
	return nil
}

// intrude asks for the session as another user, for whom it does not exist.
func (t trip) intrude(ctx context.Context) error {
	_, err := t.history.GetHistory(ctx, &pb.GetHistoryRequest{SessionId: t.sessionID, UserId: "eve"})
	switch status.Code(err) {
	case codes.NotFound:
		fmt.Println("as another user:", describe(err))
		return nil
	case codes.OK:
		return errors.New("another user may read the session")
	default:
		return err
	}
}

func (t trip) delete(ctx context.Context) error {
	_, err := t.history.DeleteSession(ctx, &pb.DeleteSessionRequest{
		SessionId:    t.sessionID,
		AllowMissing: true, // a retry finds nothing if the first attempt has deleted it
	})
	if err != nil {
		return err
	}
	fmt.Println("deleted")
	return nil
}

func show(window *pb.History) {
	for _, message := range window.GetMessages() {
		role := strings.TrimPrefix(message.GetRole().String(), "ROLE_")
		fmt.Printf("  %d %s: %s\n", message.GetSequence(), role, text(message))
	}
}

func text(message *pb.Message) string {
	if message.Content != nil {
		return message.GetContent()
	}
	var calls []string
	for _, call := range message.GetToolCalls() {
		calls = append(calls, fmt.Sprintf("%s(%s)", call.GetName(), call.GetArguments()))
	}
	return "calls " + strings.Join(calls, ", ")
}
