// Package turn has the turns of a request to an API that wants those of users and of the model to alternate.
package turn

import (
	"slices"

	"sessionhistory.io/go/formats"
	pb "sessionhistory.io/go/sessionhistory/v1"
)

const (
	// Beginning is the user's message before a first message of the model, which the API refuses as the first.
	Beginning = "[beginning of the conversation]"
	// Continue is the user's message behind a last message of the model, which the API refuses as the last.
	Continue = "[continue]"
)

// Turn is a message of a request: the blocks, or parts, of one role.
type Turn struct {
	Role   string
	Blocks []*formats.Object
}

// Joined returns turns without empty ones, and with consecutive turns of one role joined.
func Joined(turns []Turn) []Turn {
	var made []Turn
	for _, turn := range turns {
		if len(turn.Blocks) == 0 {
			continue
		}
		if at := len(made) - 1; at >= 0 && made[at].Role == turn.Role {
			made[at].Blocks = slices.Concat(made[at].Blocks, turn.Blocks)
		} else {
			made = append(made, turn)
		}
	}
	return made
}

// IsPrompt says whether a message is of the application.
func IsPrompt(message *pb.Message) bool {
	return message.GetRole() == pb.Role_ROLE_SYSTEM || message.GetRole() == pb.Role_ROLE_DEVELOPER
}

// Array returns blocks as the value of a name.
func Array(blocks []*formats.Object) []any {
	array := make([]any, len(blocks))
	for i, block := range blocks {
		array[i] = block
	}
	return array
}
