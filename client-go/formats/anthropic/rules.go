package anthropic

import "sessionhistory.io/go/formats"

const (
	docs   = "https://platform.claude.com/docs/en/"
	github = "https://github.com/"
)

// rules are the rules of the Messages API, each with its public source.
var rules = map[string]formats.Rule{
	"messages-present": {
		Text:   "there is no message: send at least one",
		Source: docs + "build-with-claude/working-with-messages",
	},
	"message-limit": {
		Text:   "there are more than 100,000 messages: send fewer",
		Source: docs + "api/messages",
	},
	"known-role": {
		Text:   "the role is none of user, assistant and system: name one",
		Source: docs + "api/messages",
	},
	"first-is-user": {
		Text:   "the first message is not the user's: begin with one",
		Source: github + "lobehub/lobehub/issues/1601",
	},
	"alternating-roles": {
		Text:   "two messages of one role follow each other: join them",
		Source: github + "BerriAI/litellm/issues/3474",
	},
	"system-place": {
		Text:   "a system message stands in a wrong place: put it between a user's message and the model's",
		Source: docs + "build-with-claude/mid-conversation-system-messages",
	},
	"content-present": {
		Text:   "the message has no content: leave it out",
		Source: github + "anthropics/claude-code/issues/6774",
	},
	"text-present": {
		Text:   "the text is empty: leave the block out",
		Source: github + "anthropics/claude-code/issues/62150",
	},
	"text-not-blank": {
		Text:   "the text is white space only: leave the block out",
		Source: github + "anthropics/claude-code/issues/23369",
	},
	"block-role": {
		Text:   "the block may not stand in a message of this role: leave it out",
		Source: github + "SEMOSS/Semoss/issues/2323",
	},
	"call-id": {
		Text:   "the id has other characters than letters, digits, _ and -: replace it",
		Source: github + "maximhq/bifrost/issues/5097",
	},
	"unique-call-id": {
		Text:   "an earlier call has the id: give each call its own",
		Source: github + "anomalyco/opencode/issues/1150",
	},
	"call-name": {
		Text:   "the name is not 1 to 128 letters, digits, _ and -: replace it",
		Source: docs + "agents-and-tools/tool-use/define-tools",
	},
	"call-input": {
		Text:   "the input is no object: send one",
		Source: docs + "agents-and-tools/tool-use/handle-tool-calls",
	},
	"calls-last": {
		Text:   "another block follows a call: put calls at the end of the message",
		Source: github + "BerriAI/litellm/pull/22947",
	},
	"call-answered": {
		Text:   "the next message has no result of the call: put it there",
		Source: github + "anthropics/claude-code/issues/8210",
	},
	"result-of-call": {
		Text:   "the previous message has no call of this id: leave the result out",
		Source: github + "anthropics/claude-code/issues/13460",
	},
	"one-result": {
		Text:   "the call has two results: join them",
		Source: github + "QwenLM/qwen-code/pull/8163",
	},
	"results-first": {
		Text:   "another block stands before a result: put results first",
		Source: docs + "agents-and-tools/tool-use/handle-tool-calls",
	},
	"error-result": {
		Text:   "the result of an error is not all text: send text only",
		Source: github + "vellum-ai/vellum-assistant/pull/18387",
	},
	"thinking-signed": {
		Text:   "the thinking has no signature or no data: leave it out",
		Source: docs + "build-with-claude/extended-thinking",
	},
	"thinking-not-last": {
		Text:   "the message ends with thinking: leave it out",
		Source: github + "tailcallhq/forgecode/issues/2107",
	},
	"thinking-first": {
		Text:   "thinking is enabled, and the message of the open calls begins without it: disable thinking",
		Source: github + "n8n-io/n8n/issues/22550",
	},
	"image-type": {
		Text:   "the image is neither JPEG, PNG, GIF nor WebP: convert it",
		Source: docs + "build-with-claude/vision",
	},
	"document-type": {
		Text:   "the document is neither PDF nor plain text: convert it",
		Source: docs + "build-with-claude/pdf-support",
	},
	"source-present": {
		Text:   "the medium has no source: send bytes, a URL or a file",
		Source: docs + "build-with-claude/vision",
	},
	"no-prefill": {
		Text:   "the last message is the model's, and newer models continue none: end with the user's",
		Source: docs + "api/errors",
	},
	"no-trailing-space": {
		Text:   "the last message is the model's, and ends with white space: remove that",
		Source: github + "tailcallhq/forgecode/issues/1872",
	},
	"cache-limit": {
		Text:   "there are more than 4 breakpoints: set fewer",
		Source: github + "tghamm/Anthropic.SDK/issues/50",
	},
	"cache-place": {
		Text:   "the block takes no breakpoint: set it at another one",
		Source: github + "Wei-Shaw/sub2api/issues/225",
	},
	"system-text": {
		Text:   "the system prompt has a block that is no text: move it",
		Source: docs + "api/messages",
	},
}
