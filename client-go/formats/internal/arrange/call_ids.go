package arrange

import (
	"fmt"
	"regexp"
	"unicode/utf8"

	pb "sessionhistory.io/go/sessionhistory/v1"
)

// IDRule is the ids of calls that an API accepts. No API accepts an empty one, or one for two calls.
type IDRule struct {
	MaxLength int
	Pattern   *regexp.Regexp // of the whole id; nil accepts any characters
}

func (r IDRule) accepts(id string) bool {
	if id == "" || utf8.RuneCountInString(id) > r.MaxLength {
		return false
	}
	return r.Pattern == nil || r.Pattern.MatchString(id)
}

// callIDs returns the ids of all calls of a series of messages.
//
// A call keeps its id if the API accepts it and no earlier call has it. Otherwise the id is made from the
// sequence of the message, or from its place in the series (from 1) if it is not stored, and from the index of
// the call, so that it is the same in each window.
func callIDs(messages []*pb.Message, rule IDRule) map[place]string {
	ids, used, taken := map[place]string{}, map[string]bool{}, given(messages)
	for at, message := range messages {
		for index, call := range message.GetToolCalls() {
			id := call.GetId()
			if used[id] || !rule.accepts(id) {
				id = made(number(message, at), index, taken)
				taken[id] = true
			}
			used[id] = true
			ids[place{at, index}] = id
		}
	}
	return ids
}

func given(messages []*pb.Message) map[string]bool {
	ids := map[string]bool{}
	for _, message := range messages {
		for _, call := range message.GetToolCalls() {
			ids[call.GetId()] = true
		}
	}
	return ids
}

func number(message *pb.Message, at int) int64 {
	if message.GetSequence() != 0 {
		return message.GetSequence()
	}
	return int64(at) + 1
}

// made returns an id that no call has.
func made(number int64, index int, taken map[string]bool) string {
	id := fmt.Sprintf("call_%d_%d", number, index)
	for taken[id] {
		id += "_"
	}
	return id
}
