// Package gemini is for Gemini's generateContent: the system instruction and the contents of a request, and answers, in
// the names of the REST API.
//
//   - System and developer prompts at the beginning become systemInstruction. A later one becomes text of the user at its
//     place.
//   - Consecutive messages of one role are joined into one content. The responses of calls are a content of their own, in
//     the order of the calls; what the user says, and media of results, are the next one.
//   - A call without a signature gets NoSignature, unless Options.NoSignatures is set.
//   - The API has no place for empty texts, media without a type, unsigned reasoning and the names of speakers.
//   - If the first content would be the model's, a user's content Beginning stands before it, and if the last would be,
//     Continue follows it. FromRequest leaves both out.
//
// For a request that ToRequest has made, FromRequest returns messages of which ToRequest makes the same request.
package gemini

import (
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/arrange"
	"sessionhistory.io/go/formats/internal/content"
	"sessionhistory.io/go/formats/internal/turn"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

const (
	// Beginning is the user's content before a first content of the model, which the API refuses as the first.
	Beginning = turn.Beginning
	// Continue is the user's content behind a last content of the model, which the API refuses as the last.
	Continue = turn.Continue

	// responses is the role of the responses of calls, which are not joined with what the user says.
	responses = "responses"
)

var ids = arrange.IDRule{MaxLength: 8192}

// ToRequest returns systemInstruction and contents of a request, of messages in stored order.
func ToRequest(messages []*pb.Message, options formats.Options) *formats.Object {
	var system []*formats.Object
	var turns []turn.Turn
	for _, step := range arrange.Messages(messages, options.Unanswered, ids) {
		if step.Said != nil && turn.IsPrompt(step.Said) && len(turns) == 0 {
			texts, media := apart(saidParts(step.Said))
			system = append(system, texts...)
			turns = turn.Joined([]turn.Turn{{Role: "user", Blocks: media}})
		} else {
			turns = append(turns, turn.Joined(turnsOf(step))...)
		}
	}
	request := formats.NewObject()
	if len(system) > 0 {
		request.Set("systemInstruction", content.Of("parts", turn.Array(system)))
	}
	contents := []any{}
	for _, one := range completed(turn.Joined(turns)) {
		if !options.NoSignatures {
			one = signed(one)
		}
		contents = append(contents, contentOf(one))
	}
	request.Set("contents", contents)
	return request
}

// FromRequest returns the messages of a request's body. A message of the model has its content as payload if it needs
// it.
func FromRequest(body []byte) ([]*pb.Message, error) {
	told, err := loaded(body)
	if err != nil {
		return nil, err
	}
	var messages []*pb.Message
	for _, part := range partsOf(told.Get("systemInstruction")) {
		messages = append(messages, saidMessage(pb.Role_ROLE_SYSTEM, []*formats.Object{part}))
	}
	var turns []turn.Turn
	for _, one := range content.Array(told, "contents") {
		turns = append(turns, turn.Turn{Role: content.String(one, "role"), Blocks: partsOf(one)})
	}
	if len(turns) > 0 && isFiller(turns[0], Beginning) {
		turns = turns[1:]
	}
	if len(turns) > 0 && isFiller(turns[len(turns)-1], Continue) {
		turns = turns[:len(turns)-1]
	}
	var before turn.Turn
	for _, one := range turns {
		messages = append(messages, messagesOf(inOrder(before, one))...)
		before = one
	}
	return messages, nil
}

// FromResponse returns the message of a response's body, with its content as payload; none if it has no candidate.
func FromResponse(body []byte) ([]*pb.Message, error) {
	told, err := loaded(body)
	candidates := content.Array(told, "candidates")
	if err != nil || len(candidates) == 0 {
		return nil, err
	}
	message := answer(partsOf(content.At(candidates[0], "content")))
	message.Provider, message.Model = provider, content.String(told, "modelVersion")
	message.FinishReason = content.String(candidates[0], "finishReason")
	message.Status = status(message.GetFinishReason())
	message.Usage = usage(told.Get("usageMetadata"))
	return []*pb.Message{message}, nil
}

// apart returns the parts with text, and the others.
func apart(parts []*formats.Object) (texts, media []*formats.Object) {
	for _, part := range parts {
		if part.Has("text") {
			texts = append(texts, part)
		} else {
			media = append(media, part)
		}
	}
	return texts, media
}

func turnsOf(step arrange.Step) []turn.Turn {
	switch {
	case step.Said == nil:
		return calledTurns(step)
	case step.Said.GetRole() == pb.Role_ROLE_ASSISTANT:
		return []turn.Turn{{Role: "model", Blocks: modelParts(arrange.Caller{Message: step.Said})}}
	}
	return []turn.Turn{{Role: "user", Blocks: saidParts(step.Said)}}
}

// calledTurns returns the calls, their responses, and the media of the results.
func calledTurns(step arrange.Step) []turn.Turn {
	calling, answering, showing := turn.Turn{Role: "model"}, turn.Turn{Role: responses}, turn.Turn{Role: "user"}
	for _, caller := range step.Callers {
		calling.Blocks = append(calling.Blocks, modelParts(caller)...)
		for _, answered := range caller.Calls {
			stored := caller.Message.GetToolCalls()[answered.Index]
			answering.Blocks = append(answering.Blocks, responsePart(answered, stored))
			for _, result := range answered.Results {
				_, media := apart(saidParts(result))
				showing.Blocks = append(showing.Blocks, media...)
			}
		}
	}
	return []turn.Turn{calling, answering, showing}
}

// completed returns the turns, with a user's turn before and behind them where the API wants one.
func completed(turns []turn.Turn) []turn.Turn {
	if len(turns) == 0 || turns[0].Role == "model" {
		turns = append([]turn.Turn{filler(Beginning)}, turns...)
	}
	if turns[len(turns)-1].Role == "model" {
		turns = append(turns, filler(Continue))
	}
	return turns
}

func filler(text string) turn.Turn {
	return turn.Turn{Role: "user", Blocks: []*formats.Object{content.Of("text", text)}}
}

func isFiller(one turn.Turn, text string) bool {
	return one.Role == "user" && equalParts(one.Blocks, filler(text).Blocks)
}

// signed returns a turn of which the first call has a signature.
func signed(one turn.Turn) turn.Turn {
	first := slices.IndexFunc(one.Blocks, isCall)
	if first < 0 || content.Given(one.Blocks[first].Get(signatureMember)) {
		return one
	}
	blocks := slices.Clone(one.Blocks)
	blocks[first] = content.Merged(blocks[first], content.Of(signatureMember, NoSignature))
	return turn.Turn{Role: one.Role, Blocks: blocks}
}

func contentOf(one turn.Turn) *formats.Object {
	role := "user"
	if one.Role == "model" {
		role = "model"
	}
	return content.Of("role", role, "parts", turn.Array(one.Blocks))
}

// inOrder returns responses in the order of their calls: without ids the order says to which call each belongs.
func inOrder(before, one turn.Turn) turn.Turn {
	left := slices.Clone(one.Blocks)
	var ordered []*formats.Object
	for _, part := range before.Blocks {
		call := part.Get(callMember)
		found := slices.IndexFunc(left, func(part *formats.Object) bool { return answers(part, call) })
		if call != nil && found >= 0 {
			ordered = append(ordered, left[found])
			left = slices.Delete(left, found, found+1)
		}
	}
	return turn.Turn{Role: one.Role, Blocks: append(ordered, left...)}
}

func answers(part *formats.Object, call any) bool {
	told := part.Get(responseMember)
	return told != nil && content.Equal(content.At(told, "id"), content.At(call, "id")) &&
		content.Equal(content.At(told, "name"), content.At(call, "name"))
}

// messagesOf returns the messages of a content: the model's, or responses and what the user says.
func messagesOf(one turn.Turn) []*pb.Message {
	if one.Role == "model" {
		var parts []*formats.Object
		for _, part := range one.Blocks {
			parts = append(parts, withoutPlaceholder(part))
		}
		return []*pb.Message{messageOfModel(parts)}
	}
	var messages []*pb.Message
	var others []*formats.Object
	for _, part := range one.Blocks {
		if isResponse(part) {
			messages = append(messages, resultMessage(content.Object(part, responseMember)))
		} else {
			others = append(others, part)
		}
	}
	if len(others) > 0 {
		messages = append(messages, saidMessage(pb.Role_ROLE_USER, others))
	}
	return messages
}

// withoutPlaceholder returns a part without the signature that says that it has none.
func withoutPlaceholder(part *formats.Object) *formats.Object {
	if part.Get(signatureMember) != NoSignature {
		return part
	}
	made := part.Clone()
	made.Delete(signatureMember)
	return made
}

func saidMessage(role pb.Role, parts []*formats.Object) *pb.Message {
	message := &pb.Message{MessageId: content.NewID(), Role: role}
	setBody(message, parts)
	return message
}
