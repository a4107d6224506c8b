// Package formats has what the packages of the model APIs share. Each of them turns a context window into the
// part of a request that the conversation fills, and a request or a response into messages to store.
package formats

import pb "sessionhistory.io/go/sessionhistory/v1"

// Unanswered is a way to convert a tool call that has no result.
type Unanswered string

const (
	// Marker gives the call a result that says that there is none. It is the default.
	Marker Unanswered = "MARKER"
	// Omit leaves the call out.
	Omit Unanswered = "OMIT"
)

// Options are the choices of a caller of ToRequest.
type Options struct {
	// Unanswered is the way to convert a call without a result; empty means Marker.
	Unanswered Unanswered

	// NoSignatures is for Gemini. It says that the model wants no signatures of calls, as models before Gemini 3.
	NoSignatures bool

	// The others are for Anthropic.

	// Cache asks for breakpoints of the prompt cache: at the end of the system prompt, of the pinned messages and
	// the summary with which the history begins, and of the newest message.
	Cache bool
	// Prefill says that the model continues a last message of its own. Models from Claude 4.6 on refuse that.
	Prefill bool
	// SystemMessages says that the model takes messages of the role system, as Claude Opus 4.8 does.
	SystemMessages bool
	// Summary is that of the history, so that a breakpoint stands behind it.
	Summary *pb.HistorySummary
}

// Violation is a rule of an API that a request breaks.
type Violation struct {
	// Rule is the rule's name.
	Rule string
	// Path is the place in the request, such as messages[3].tool_calls[0].id.
	Path string
	// Text describes the violation. It quotes nothing of the conversation.
	Text string
	// Source is the public page that has the rule.
	Source string
}

// Rule is a rule of an API: its name, its text, and the public page that states it.
type Rule struct {
	Name, Text, Source string
}

// At returns the violation of the rule at a place of a request.
func (r Rule) At(path string) Violation {
	return Violation{Rule: r.Name, Path: path, Text: r.Text, Source: r.Source}
}
