// Package anthropic is for Anthropic's Messages API: the system prompt and the messages of a request, and answers.
//
//   - System and developer prompts at the beginning become system. A later one becomes text of the user's turn at its
//     place, or a message of the role system with Options.SystemMessages.
//   - Consecutive messages of one role are joined into one turn. Calls are the last blocks of a turn, and their results
//     the first blocks of the next one.
//   - The API refuses blank texts, media of types that it does not know, and reasoning without a signature. They are
//     left out, and so are the names of speakers.
//   - If the first turn would be the model's, a user's turn with Beginning stands before it, and if the last would be,
//     one with Continue follows it, unless Options.Prefill is set or the answer has only paused while Anthropic runs
//     a tool (pause_turn). FromRequest leaves both out.
//
// For a request that ToRequest has made, FromRequest returns messages of which ToRequest makes the same request.
package anthropic

import (
	"errors"
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/arrange"
	"sessionhistory.io/go/formats/internal/content"
	"sessionhistory.io/go/formats/internal/turn"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

var ids = arrange.IDRule{MaxLength: 8192, Pattern: callID}

// ToRequest returns system and messages of a request, of messages in stored order.
func ToRequest(messages []*pb.Message, options formats.Options) *formats.Object {
	kept := keptMessages(messages, options.Summary)
	told := conversation{systemMessages: options.SystemMessages}
	for _, step := range arrange.Messages(messages, options.Unanswered, ids) {
		told.add(step, step.Said != nil && slices.Contains(kept, step.Said))
	}
	turns := settled(told.turns)
	if options.Cache {
		mark(told, turns)
	}
	request := formats.NewObject()
	if len(told.system) > 0 {
		request.Set("system", turn.Array(told.system))
	}
	items := []any{}
	for _, one := range completed(turns, options.Prefill) {
		items = append(items, item(one))
	}
	request.Set("messages", items)
	return request
}

// FromRequest returns the messages of a request's body. A message of the model has its blocks as payload if it needs
// them.
func FromRequest(body []byte) ([]*pb.Message, error) {
	told, err := content.Loaded(body)
	if err != nil {
		return nil, err
	}
	messages := prompts(blocksOf(told.Get("system")))
	var turns []turn.Turn
	for _, message := range content.Array(told, "messages") {
		turns = append(turns, turn.Turn{
			Role: content.String(message, "role"), Blocks: blocksOf(content.At(message, "content")),
		})
	}
	if len(turns) > 0 && isFiller(turns[0], Beginning) {
		turns = turns[1:]
	}
	if len(turns) > 0 && isFiller(turns[len(turns)-1], Continue) {
		turns = turns[:len(turns)-1]
	}
	for _, one := range turns {
		messages = append(messages, messagesOf(one)...)
	}
	return messages, nil
}

// FromResponse returns the message of a response's body, with its blocks as payload.
func FromResponse(body []byte) ([]*pb.Message, error) {
	told, err := content.Loaded(body)
	if err != nil {
		return nil, err
	}
	if content.String(told, "type") == "error" || content.Given(told.Get("error")) {
		return nil, errors.New("the response is an error: there is no message to store")
	}
	message := answer(blocksOf(told.Get("content")))
	message.Provider, message.Model = provider, content.String(told, "model")
	message.Usage = usage(told.Get("usage"))
	message.FinishReason = content.String(told, "stop_reason")
	message.Status = status(message.GetFinishReason())
	return []*pb.Message{message}, nil
}

// keptMessages returns the messages with which each history of the session begins: pins and the summary.
func keptMessages(messages []*pb.Message, summary *pb.HistorySummary) []*pb.Message {
	for at, message := range messages {
		isSummary := summary != nil && message.GetSequence() == summary.GetThroughSequence()
		if !message.GetPinned() && !isSummary {
			return messages[:at]
		}
	}
	return messages
}

// mark sets the breakpoints of the prompt cache.
func mark(told conversation, turns []turn.Turn) {
	var newest []*formats.Object
	for _, one := range turns {
		for _, block := range one.Blocks {
			if !slices.Contains(thinking, typeOf(block)) {
				newest = append(newest, block)
			}
		}
	}
	marked := []*formats.Object{last(told.system), last(newest)}
	if slices.Contains(newest, told.lastKept) {
		marked = append(marked, told.lastKept)
	}
	for _, block := range marked {
		if block != nil {
			block.Set("cache_control", content.Of("type", "ephemeral"))
		}
	}
}

// completed returns the turns, with a user's turn before and behind them where the API wants one.
func completed(turns []turn.Turn, prefill bool) []turn.Turn {
	if len(turns) == 0 || isModelsTurn(turns[0]) {
		turns = append([]turn.Turn{filler(Beginning)}, turns...)
	}
	if !isModelsTurn(turns[len(turns)-1]) {
		return turns
	}
	block := last(turns[len(turns)-1].Blocks)
	if !prefill && !isPaused(block) {
		return append(turns, filler(Continue))
	}
	if typeOf(block) == "text" {
		block.Set("text", content.TrimEnd(content.String(block, "text")))
	}
	return turns
}

func filler(text string) turn.Turn {
	return turn.Turn{Role: "user", Blocks: []*formats.Object{textBlock(text)}}
}

func isFiller(t turn.Turn, text string) bool {
	return t.Role == "user" && len(t.Blocks) == 1 && content.Equal(withoutCache(t.Blocks[0]), textBlock(text))
}

func prompts(blocks []*formats.Object) []*pb.Message {
	var messages []*pb.Message
	for _, block := range blocks {
		message := &pb.Message{MessageId: content.NewID(), Role: pb.Role_ROLE_SYSTEM}
		setBody(message, []*formats.Object{block})
		messages = append(messages, message)
	}
	return messages
}

// messagesOf returns the messages of a turn: results, then what the user says.
func messagesOf(t turn.Turn) []*pb.Message {
	switch t.Role {
	case "assistant":
		var blocks []*formats.Object
		for _, block := range t.Blocks {
			blocks = append(blocks, withoutCache(block))
		}
		return []*pb.Message{messageOfModel(blocks)}
	case "system":
		return prompts(t.Blocks)
	}
	var messages []*pb.Message
	var others []*formats.Object
	for _, block := range t.Blocks {
		if typeOf(block) == "tool_result" {
			messages = append(messages, resultMessage(block))
		} else {
			others = append(others, block)
		}
	}
	if len(others) > 0 {
		message := &pb.Message{MessageId: content.NewID(), Role: pb.Role_ROLE_USER}
		setBody(message, others)
		messages = append(messages, message)
	}
	return messages
}
