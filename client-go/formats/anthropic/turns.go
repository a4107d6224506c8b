package anthropic

import (
	"slices"

	"sessionhistory.io/go/formats"
	"sessionhistory.io/go/formats/internal/arrange"
	"sessionhistory.io/go/formats/internal/content"
	"sessionhistory.io/go/formats/internal/turn"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

const (
	// Beginning is the user's message before a first message of the model, which the API refuses as the first.
	Beginning = turn.Beginning
	// Continue is the user's message behind a last message of the model, refused as the last from Claude 4.6 on.
	Continue = turn.Continue
)

func item(t turn.Turn) *formats.Object {
	return content.Of("role", t.Role, "content", turn.Array(t.Blocks))
}

// conversation is the system prompt and the turns of a request, and the last block of the beginning that stays.
type conversation struct {
	system         []*formats.Object
	turns          []turn.Turn
	lastKept       *formats.Object
	systemMessages bool
}

// add adds a step: a system prompt to the system prompt if it is at the beginning, else a turn.
func (c *conversation) add(step arrange.Step, isKept bool) {
	if step.Said != nil && turn.IsPrompt(step.Said) && len(c.turns) == 0 {
		c.addPrompt(step.Said)
	} else {
		c.turns = append(c.turns, turnsOf(step, c.systemMessages)...)
	}
	if isKept && len(c.turns) > 0 {
		c.lastKept = last(c.turns[len(c.turns)-1].Blocks)
	} else if isKept {
		c.lastKept = last(c.system)
	}
}

func last(blocks []*formats.Object) *formats.Object {
	if len(blocks) == 0 {
		return nil
	}
	return blocks[len(blocks)-1]
}

// addPrompt adds a message to the system prompt. Its media become a user's turn: the prompt takes none.
func (c *conversation) addPrompt(message *pb.Message) {
	var media []*formats.Object
	for _, block := range saidBlocks(message) {
		if typeOf(block) == "text" {
			c.system = append(c.system, block)
		} else {
			media = append(media, block)
		}
	}
	if len(media) > 0 {
		c.turns = append(c.turns, turn.Turn{Role: "user", Blocks: media})
	}
}

// settled returns turns as the API accepts them: joined, calls last, no thinking last, system messages placed.
func settled(turns []turn.Turn) []turn.Turn {
	var placed []turn.Turn
	for len(turns) > 0 {
		run := 1
		for run < len(turns) && isModelsTurn(turns[run]) == isModelsTurn(turns[0]) {
			run++
		}
		placed = append(placed, placedTurns(turns[:run])...)
		turns = turns[run:]
	}
	spoken := turn.Joined(placed)
	for i := range spoken {
		spoken[i].Blocks = ordered(spoken[i])
	}
	return turn.Joined(spoken)
}

func turnsOf(step arrange.Step, systemMessages bool) []turn.Turn {
	if step.Said == nil {
		return calledTurns(step)
	}
	made := turn.Turn{Role: "user"}
	if step.Said.GetRole() == pb.Role_ROLE_ASSISTANT {
		made = turn.Turn{Role: "assistant", Blocks: modelBlocks(arrange.Caller{Message: step.Said})}
	} else {
		made.Blocks = saidBlocks(step.Said)
		isText := !slices.ContainsFunc(made.Blocks, func(block *formats.Object) bool { return typeOf(block) != "text" })
		if systemMessages && turn.IsPrompt(step.Said) && isText {
			made.Role = "system"
		}
	}
	if len(made.Blocks) == 0 {
		return nil
	}
	return []turn.Turn{made}
}

func calledTurns(step arrange.Step) []turn.Turn {
	calling, answering := turn.Turn{Role: "assistant"}, turn.Turn{Role: "user"}
	for _, caller := range step.Callers {
		calling.Blocks = append(calling.Blocks, modelBlocks(caller)...)
	}
	for _, answered := range step.Calls() {
		answering.Blocks = append(answering.Blocks, resultBlock(answered))
	}
	return []turn.Turn{calling, answering}
}

func isModelsTurn(t turn.Turn) bool {
	return t.Role == "assistant"
}

// placedTurns returns turns of the model, or turns between two of the model: system messages behind the user's, or as
// the user's.
func placedTurns(run []turn.Turn) []turn.Turn {
	var users, prompts []turn.Turn
	for _, one := range run {
		if one.Role == "system" {
			prompts = append(prompts, one)
		} else {
			users = append(users, one)
		}
	}
	if len(users) == 0 {
		for i := range prompts {
			prompts[i].Role = "user"
		}
	}
	return append(users, prompts...)
}

// ordered returns the blocks of a turn, of the model's with calls last and without thinking at the end.
func ordered(t turn.Turn) []*formats.Object {
	if t.Role != "assistant" {
		return t.Blocks
	}
	var others, calls []*formats.Object
	for _, block := range t.Blocks {
		if typeOf(block) == "tool_use" {
			calls = append(calls, block)
		} else {
			others = append(others, block)
		}
	}
	made := append(others, calls...)
	for len(made) > 0 && slices.Contains(thinking, typeOf(last(made))) {
		made = made[:len(made)-1]
	}
	return made
}
