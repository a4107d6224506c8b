// Package arrange turns messages in stored order into the steps of a request: results directly behind their
// calls. All formats share it. A format renders each step, and merges roles as its API wants.
package arrange

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"sessionhistory.io/go/formats"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

// NoResult is the text of the result that a call without one gets.
const NoResult = "This tool call has no result."

// maxJoinedCalls is the most calls of one message that OpenAI and the contract accept.
const maxJoinedCalls = 128

// Step is a message without calls, or messages of the model with their calls.
type Step struct {
	// Said is a message of a user or of the model, a system prompt or a summary. It stands where it was stored;
	// a message that was stored between a call and its result follows the results.
	Said *pb.Message
	// Callers are one or several messages of the model in a row with their calls; nil if the step has Said. The
	// results of all follow the last. The first may have text. The others have calls or reasoning only.
	Callers []Caller
}

// Caller is a message of a row, as it was stored, with the calls that are kept of it. A message of reasoning
// between two messages with calls has no calls.
type Caller struct {
	Message *pb.Message
	Calls   []AnsweredCall
}

// AnsweredCall is a call and its results in stored order. The call has an id that the API accepts, and JSON for
// arguments if the message was interrupted. If there are no results, the format writes NoResult.
type AnsweredCall struct {
	Call    *pb.ToolCall
	Results []*pb.Message
	// Index is the place of the call among the calls of its stored message, and so in its payload.
	Index int
}

// Calls returns the calls of all messages of the step, in order.
func (s Step) Calls() []AnsweredCall {
	var calls []AnsweredCall
	for _, caller := range s.Callers {
		calls = append(calls, caller.Calls...)
	}
	return calls
}

// Messages returns the steps of messages in stored order.
func Messages(messages []*pb.Message, unanswered formats.Unanswered, rule IDRule) []Step {
	stored := split(messages)
	results, ids := pair(stored), callIDs(stored, rule)
	callers := make([]Caller, len(stored))
	for at, message := range stored {
		callers[at].Message = message
		for index, call := range message.GetToolCalls() {
			answers := results[place{at, index}]
			if len(answers) == 0 && unanswered == formats.Omit {
				continue
			}
			kept := AnsweredCall{Call: accepted(message, call, ids[place{at, index}]), Index: index}
			for _, answer := range answers {
				kept.Results = append(kept.Results, stored[answer])
			}
			callers[at].Calls = append(callers[at].Calls, kept)
		}
	}
	return steps(callers)
}

// split makes calls that are not the model's a message of the model behind their message.
func split(messages []*pb.Message) []*pb.Message {
	var made []*pb.Message
	for _, message := range messages {
		if len(message.GetToolCalls()) == 0 || isModels(message) {
			made = append(made, message)
			continue
		}
		made = append(made, withoutCalls(message), &pb.Message{
			Role:      pb.Role_ROLE_ASSISTANT,
			ToolCalls: message.GetToolCalls(),
			Sequence:  message.GetSequence(),
			Status:    message.GetStatus(),
		})
	}
	return made
}

func accepted(message *pb.Message, call *pb.ToolCall, id string) *pb.ToolCall {
	arguments := call.GetArguments()
	if message.GetStatus() == pb.MessageStatus_MESSAGE_STATUS_INTERRUPTED {
		arguments = Repaired(arguments)
	}
	return &pb.ToolCall{Id: id, Name: call.GetName(), Arguments: arguments}
}

// steps returns the steps of messages in stored order. The results of calls stand in the calls.
func steps(callers []Caller) []Step {
	var made []Step
	for len(callers) > 0 {
		row := leading(callers)
		made = append(made, stepsOfRow(callers[:row])...)
		callers = callers[row:]
		if len(callers) > 0 {
			made = append(made, Step{Said: callers[0].Message})
			callers = callers[1:]
		}
	}
	return made
}

// leading returns the number of the model's messages, and of results, at the beginning.
func leading(callers []Caller) int {
	for at, caller := range callers {
		if !isModels(caller.Message) && !isResult(caller.Message) {
			return at
		}
	}
	return len(callers)
}

// stepsOfRow returns the steps of a row of the model: calls are joined until a result, or a message that says more.
func stepsOfRow(row []Caller) []Step {
	var made []Step
	var joined, reasoning []Caller // reasoning belongs to the message behind it
	for _, caller := range row {
		if isResult(caller.Message) {
			if len(joined) > 0 {
				made, joined = append(made, Step{Callers: joined}), nil
			}
			continue
		}
		if len(caller.Calls) == 0 && isReasoning(caller.Message) {
			reasoning = append(reasoning, caller)
			continue
		}
		if len(joined) > 0 && (len(caller.Calls) == 0 || !isReasoning(caller.Message) || isFull(joined, caller)) {
			made, joined = append(made, Step{Callers: joined}), nil
		}
		if len(caller.Calls) > 0 {
			joined = append(append(joined, reasoning...), caller)
		} else {
			made = append(made, said(append(reasoning, caller))...)
		}
		reasoning = nil
	}
	if len(joined) > 0 {
		made = append(made, Step{Callers: joined})
	}
	return append(made, said(reasoning)...)
}

func isFull(joined []Caller, caller Caller) bool {
	return len(Step{Callers: joined}.Calls())+len(caller.Calls) > maxJoinedCalls
}

func said(callers []Caller) []Step {
	made := make([]Step, len(callers))
	for at, caller := range callers {
		made[at].Said = withoutCalls(caller.Message)
	}
	return made
}

// isReasoning says whether a message has, beside its calls, reasoning or a payload only, or nothing at all.
func isReasoning(message *pb.Message) bool {
	return isModels(message) && message.GetContent() == "" &&
		!slices.ContainsFunc(message.GetParts(), func(part *pb.Part) bool { return part.GetReasoning() == nil })
}

func isResult(message *pb.Message) bool {
	return message.GetRole() == pb.Role_ROLE_TOOL
}

func isModels(message *pb.Message) bool {
	return message.GetRole() == pb.Role_ROLE_ASSISTANT
}

func withoutCalls(message *pb.Message) *pb.Message {
	if len(message.GetToolCalls()) == 0 {
		return message
	}
	message = proto.CloneOf(message)
	message.ToolCalls = nil
	return message
}
