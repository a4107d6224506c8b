package anthropic

import (
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/content"
)

// calls checks that each call has its own id, and exactly one result, directly behind its message.
func (c *checker) calls(turns []checkedTurn) {
	seen := map[string]bool{}
	for index, turn := range turns {
		var before, after checkedTurn
		if index > 0 {
			before = turns[index-1]
		}
		if index+1 < len(turns) {
			after = turns[index+1]
		}
		c.answered(turn, after, seen)
		c.results(before, turn)
		c.order(turn)
	}
}

func (c *checker) answered(turn, after checkedTurn, seen map[string]bool) {
	answered := idsOf(after, "tool_result", "tool_use_id")
	for index, block := range turn.blocks {
		if typeOf(block) != "tool_use" {
			continue
		}
		id := content.String(block, "id")
		if seen[id] {
			c.breaks("unique-call-id", turn.place(index)+".id")
		}
		seen[id] = true
		if !answered[id] {
			c.breaks("call-answered", turn.place(index))
		}
	}
}

func idsOf(turn checkedTurn, kind, name string) map[string]bool {
	ids := map[string]bool{}
	for _, block := range turn.blocks {
		if typeOf(block) == kind {
			ids[content.String(block, name)] = true
		}
	}
	return ids
}

// results checks that each result of a message belongs to a call of the message before it.
func (c *checker) results(before, turn checkedTurn) {
	open, answered := idsOf(before, "tool_use", "id"), map[string]bool{}
	for index, block := range turn.blocks {
		if typeOf(block) != "tool_result" {
			continue
		}
		id := content.String(block, "tool_use_id")
		if !open[id] {
			c.breaks("result-of-call", turn.place(index))
		} else if answered[id] {
			c.breaks("one-result", turn.place(index))
		}
		answered[id] = true
	}
}

// order checks that results are the first blocks of a message, and calls the last.
func (c *checker) order(turn checkedTurn) {
	for index, block := range turn.blocks {
		if index == 0 {
			continue
		}
		before, kind := typeOf(turn.blocks[index-1]), typeOf(block)
		if kind == "tool_result" && before != "tool_result" {
			c.breaks("results-first", turn.place(index))
		}
		if before == "tool_use" && kind != "tool_use" {
			c.breaks("calls-last", turn.place(index))
		}
	}
}

// thinkingFirst checks that the last message of the model with calls begins with thinking, while its turn goes on:
// only results follow its calls.
func (c *checker) thinkingFirst(turns []checkedTurn) {
	for index, turn := range slices.Backward(turns) {
		if len(idsOf(turn, "tool_use", "id")) == 0 {
			continue
		}
		if index == len(turns)-2 && hasOnlyResults(turns[index+1]) && !slices.Contains(thinking, typeOf(turn.blocks[0])) {
			c.breaks("thinking-first", turn.place(0))
		}
		return
	}
}

func hasOnlyResults(turn checkedTurn) bool {
	return !slices.ContainsFunc(turn.blocks, func(block *formats.Object) bool { return typeOf(block) != "tool_result" })
}
