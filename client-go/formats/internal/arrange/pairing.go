package arrange

import (
	"slices"

	pb "sessionhistory.io/go/sessionhistory/v1"
)

// place is the place of a call: that of its message in the series, and its own in the message.
type place struct {
	message, call int
}

// pairing pairs tool results with their calls, as the server does.
type pairing struct {
	results map[place][]int
	nearest map[string]place   // of one message the first call of the id
	open    map[string][]place // the calls of an id, the nearest last, without the last ones that have results
	newest  []place            // the calls of the newest message with calls, without the first that have results
}

// pair returns the places of the results of each call that has any, in order.
//
// A result belongs to the nearest earlier call of its id that has no result yet, else to the nearest of that id; of
// several calls of one message, to the first. Without an id it belongs to the first call without a result of the
// nearest earlier message with calls, else to its last call. A result without its call is in no list.
func pair(messages []*pb.Message) map[place][]int {
	p := pairing{results: map[place][]int{}, nearest: map[string]place{}, open: map[string][]place{}}
	for at, message := range messages {
		if message.GetRole() == pb.Role_ROLE_TOOL {
			owner, ok := p.owner(message.GetToolCallId())
			if !ok {
				continue // a window has neither such a result nor its calls
			}
			p.results[owner] = append(p.results[owner], at)
		}
		if len(message.GetToolCalls()) > 0 {
			p.call(at, message)
		}
	}
	return p.results
}

func (p *pairing) call(at int, message *pb.Message) {
	p.newest = nil
	for index := range message.GetToolCalls() {
		p.newest = append(p.newest, place{at, index})
	}
	for index, call := range slices.Backward(message.GetToolCalls()) {
		p.nearest[call.GetId()] = place{at, index}
		p.open[call.GetId()] = append(p.open[call.GetId()], place{at, index})
	}
}

// owner returns the call of a result. It looks at each call that has a result once.
func (p *pairing) owner(id string) (place, bool) {
	if id == "" {
		for len(p.newest) > 1 && p.answered(p.newest[0]) {
			p.newest = p.newest[1:]
		}
		if len(p.newest) == 0 {
			return place{}, false
		}
		return p.newest[0], true
	}
	calls := p.open[id]
	for len(calls) > 0 && p.answered(calls[len(calls)-1]) {
		calls = calls[:len(calls)-1]
	}
	p.open[id] = calls
	if len(calls) > 0 {
		return calls[len(calls)-1], true
	}
	nearest, ok := p.nearest[id]
	return nearest, ok
}

func (p *pairing) answered(call place) bool {
	return len(p.results[call]) > 0
}
