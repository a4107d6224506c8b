// Package cases runs the cases that the formats of all languages share: tests/formats/cases.
package cases

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"sessionhistory.io/go/formats"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// folder is relative to the package of a format, in which its tests run.
const folder = "../../../tests/formats/cases"

// Format is the functions of a format's package.
type Format struct {
	ToRequest    func([]*pb.Message, formats.Options) *formats.Object
	FromRequest  func([]byte) ([]*pb.Message, error)
	FromResponse func([]byte) ([]*pb.Message, error)
	Violations   func([]byte, formats.Options) ([]formats.Violation, error)
	Stream       func(model string) StreamReader
}

// StreamReader is the StreamReader of a format's package.
type StreamReader interface {
	Header() *pb.Message
	Feed([]byte) (*pb.AppendMessageStreamDelta, error)
	Finish() *pb.AppendMessageStreamFinish
	Message() *pb.Message
}

// testCase has messages (or a history) and their request, a response or a stream (or both, of the same answer) and the
// messages, or a request and its violations. tests/formats/test_cases.py describes them.
type testCase struct {
	About    string            `json:"about"`
	Messages []json.RawMessage `json:"messages"`
	Options  caseOptions       `json:"options"`
	Rules    caseOptions       `json:"rules"` // of the violations
	History  json.RawMessage   `json:"history"`
	Request  json.RawMessage   `json:"request"`
	Back     []json.RawMessage `json:"back"`
	Response json.RawMessage   `json:"response"`
	Stream   []json.RawMessage `json:"stream"`
	// The rules that the request breaks.
	Violations []struct {
		Rule string `json:"rule"`
		Path string `json:"path"`
		// Text and Source are those of Python's rule, in generated cases.
		Text   string `json:"text"`
		Source string `json:"source"`
	} `json:"violations"`
}

type caseOptions struct {
	Unanswered     formats.Unanswered `json:"unanswered"`
	Cache          bool               `json:"cache"`
	Prefill        bool               `json:"prefill"`
	SystemMessages bool               `json:"system_messages"`
	Signatures     *bool              `json:"signatures"`
}

func (o caseOptions) options(summary *pb.HistorySummary) formats.Options {
	return formats.Options{
		Unanswered:     o.Unanswered,
		Cache:          o.Cache,
		Prefill:        o.Prefill,
		SystemMessages: o.SystemMessages,
		NoSignatures:   o.Signatures != nil && !*o.Signatures,
		Summary:        summary,
	}
}

// Run runs the cases of a format, each in a test of its own.
func Run(t *testing.T, name string, format Format) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, name, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases of %s in %s: %v", name, folder, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) { runFile(t, path, format) })
	}
}

func runFile(t *testing.T, path string, format Format) {
	var shared testCase
	if err := load(path, &shared); err != nil {
		t.Fatal(err)
	}
	switch {
	case shared.Response != nil || shared.Stream != nil:
		checkResponse(t, format, shared)
	case shared.Violations != nil:
		checkViolations(t, format, shared)
	default:
		checkRequest(t, format, shared)
	}
	if shared.About != "generated" {
		checkMalformed(t, format, shared)
	}
}

func load(path string, into *testCase) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func parse(t *testing.T, texts []json.RawMessage) []*pb.Message {
	t.Helper()
	messages := make([]*pb.Message, len(texts))
	for i, text := range texts {
		messages[i] = &pb.Message{}
		if err := protojson.Unmarshal(text, messages[i]); err != nil {
			t.Fatal(err)
		}
	}
	return messages
}

func source(t *testing.T, shared testCase) *pb.History {
	t.Helper()
	if shared.History == nil {
		return &pb.History{Messages: parse(t, shared.Messages)}
	}
	history := &pb.History{}
	if err := protojson.Unmarshal(shared.History, history); err != nil {
		t.Fatal(err)
	}
	return history
}

func checkRequest(t *testing.T, format Format, shared testCase) {
	t.Helper()
	history := source(t, shared)
	options := shared.Options.options(history.GetSummary())
	made := marshal(t, format.ToRequest(history.GetMessages(), options))
	if !Same(made, shared.Request) {
		t.Errorf("%s\ngot  %s\nwant %s", shared.About, made, shared.Request)
	}
	violations, err := format.Violations(made, shared.Rules.options(nil))
	if err != nil || len(violations) > 0 {
		t.Errorf("%s: violations: %v %v", shared.About, violations, err)
	}
	// A request does not say which of its messages are pinned or a summary, so breakpoints are not made again.
	options.Cache = false
	made = marshal(t, format.ToRequest(history.GetMessages(), options))
	read, err := format.FromRequest(made)
	if shared.Back != nil {
		checkMessages(t, read, parse(t, shared.Back), err)
	}
	if again := marshal(t, format.ToRequest(read, options)); !Same(again, made) {
		t.Errorf("read and made again\ngot  %s\nwant %s", again, made)
	}
}

func marshal(t *testing.T, request *formats.Object) []byte {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func checkResponse(t *testing.T, format Format, shared testCase) {
	t.Helper()
	want := parse(t, shared.Messages)
	if shared.Response != nil {
		read, err := format.FromResponse(shared.Response)
		checkMessages(t, read, want, err)
	}
	if shared.Stream != nil {
		checkStream(t, format.Stream(""), shared.Stream, want)
		checkModel(t, format.Stream("asked-for"), shared.Stream)
	}
}

// checkStream checks the message of a stream, and that its pieces make the same message as the server stores it.
func checkStream(t *testing.T, reader StreamReader, events []json.RawMessage, want []*pb.Message) {
	t.Helper()
	stored := &pb.Message{}
	for _, event := range events {
		delta, err := reader.Feed(event)
		if err != nil {
			t.Fatal(err)
		}
		add(stored, delta)
	}
	checkMessages(t, []*pb.Message{reader.Message()}, want, nil)
	proto.Merge(stored, reader.Header())
	finish := reader.Finish()
	stored.Usage, stored.Status, stored.FinishReason = finish.GetUsage(), finish.GetStatus(), finish.GetFinishReason()
	stored.Payload, stored.PayloadType = finish.GetPayload(), finish.GetPayloadType()
	checkMessages(t, []*pb.Message{stored}, want, nil)
}

// checkModel checks that the model that the caller has named counts, and not the one that the stream names.
func checkModel(t *testing.T, reader StreamReader, events []json.RawMessage) {
	t.Helper()
	for _, event := range events {
		if _, err := reader.Feed(event); err != nil {
			t.Fatal(err)
		}
	}
	if model := reader.Message().GetModel(); model != "asked-for" {
		t.Errorf("the model is %q", model)
	}
}

// add adds a delta to a message, as the server does.
func add(message *pb.Message, delta *pb.AppendMessageStreamDelta) {
	if delta.GetText() != "" {
		message.Content = proto.String(message.GetContent() + delta.GetText())
	}
	message.Parts = append(message.Parts, delta.GetParts()...)
	for _, added := range delta.GetToolCalls() {
		if int(added.GetIndex()) == len(message.GetToolCalls()) {
			message.ToolCalls = append(message.ToolCalls, &pb.ToolCall{Id: added.GetId(), Name: added.GetName()})
		}
		message.ToolCalls[added.GetIndex()].Arguments += added.GetArguments()
	}
}

func checkViolations(t *testing.T, format Format, shared testCase) {
	t.Helper()
	found, err := format.Violations(shared.Request, shared.Rules.options(nil))
	if err != nil || len(found) != len(shared.Violations) {
		t.Fatalf("%s\ngot  %v %v\nwant %v", shared.About, found, err, shared.Violations)
	}
	for i, want := range shared.Violations {
		if found[i].Rule != want.Rule || found[i].Path != want.Path {
			t.Errorf("%s\ngot  %v\nwant %v", shared.About, found[i], want)
		}
		if want.Text != "" && (found[i].Text != want.Text || found[i].Source != want.Source) {
			t.Errorf("got  %v\nwant %v", found[i], want)
		}
		if !strings.HasPrefix(found[i].Source, "https://") || found[i].Text == "" {
			t.Errorf("%v has no source or no text", found[i])
		}
	}
}

func checkMessages(t *testing.T, got, want []*pb.Message, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("got %d messages, want %d", len(got), len(want))
	}
	for i := range got {
		if text := difference(got[i], want[i]); text != "" {
			t.Errorf("message %d: %s", i, text)
		}
	}
}

// difference compares messages without their ids, and payloads of JSON as JSON values.
func difference(got, want *pb.Message) string {
	got, want = proto.CloneOf(got), proto.CloneOf(want)
	got.MessageId, want.MessageId = "", ""
	for _, message := range []*pb.Message{got, want} {
		if message.GetStatus() == pb.MessageStatus_MESSAGE_STATUS_UNSPECIFIED {
			message.Status = pb.MessageStatus_MESSAGE_STATUS_COMPLETE
		}
	}
	if Same(got.GetPayload(), want.GetPayload()) {
		got.Payload = want.GetPayload()
	}
	if proto.Equal(got, want) {
		return ""
	}
	return fmt.Sprintf("\ngot  %s\nwant %s", prototext.Format(got), prototext.Format(want))
}

// Same says whether two texts are the same JSON value.
func Same(a, b []byte) bool {
	var first, second any
	if json.Unmarshal(a, &first) != nil || json.Unmarshal(b, &second) != nil {
		return false
	}
	return reflect.DeepEqual(first, second)
}
