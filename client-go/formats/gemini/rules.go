package gemini

import "sessionhistory.io/go/formats"

const (
	docs   = "https://ai.google.dev/"
	github = "https://github.com/"
)

// rules are the rules of generateContent, each with its public source.
var rules = map[string]formats.Rule{
	"contents-present": {
		Text:   "there is no content: send at least one",
		Source: docs + "api/generate-content",
	},
	"known-role": {
		Text:   "the role is neither user nor model: name one",
		Source: docs + "api/caching#Content",
	},
	"first-is-user": {
		Text:   "the first content is the model's: begin with the user's",
		Source: github + "google-gemini/gemini-cli/issues/11814",
	},
	"last-is-user": {
		Text:   "the last content is the model's: end with the user's",
		Source: github + "crewAIInc/crewAI/pull/6973",
	},
	"parts-present": {
		Text:   "the content has no parts: leave it out",
		Source: github + "vercel/ai/issues/3775",
	},
	"part-data": {
		Text:   "the part has not exactly one kind of data: split it, or leave it out",
		Source: github + "router-for-me/CLIProxyAPI/issues/1292",
	},
	"text-present": {
		Text:   "the text is empty: leave the part out",
		Source: github + "glowingjade/obsidian-smart-composer/issues/218",
	},
	"blob-data": {
		Text:   "the medium has no type or no bytes: send both",
		Source: docs + "api/caching#Blob",
	},
	"file-uri": {
		Text:   "the file has no URI: send one",
		Source: docs + "api/caching#FileData",
	},
	"function-name": {
		Text:   "the name is not 1 to 64 letters, digits and _.:-, beginning with a letter or _: replace it",
		Source: github + "kaitranntt/ccs/issues/25",
	},
	"call-arguments": {
		Text:   "the arguments are no object: send one",
		Source: docs + "api/caching#FunctionCall",
	},
	"response-object": {
		Text:   "the response is no object: send one",
		Source: docs + "api/caching#FunctionResponse",
	},
	"call-place": {
		Text:   "a call does not directly follow the user's content or responses: move it",
		Source: github + "google-gemini/gemini-cli/issues/26486",
	},
	"call-role": {
		Text:   "a call is not the model's, or a response is: change the role",
		Source: docs + "gemini-api/docs/function-calling",
	},
	"responses-follow": {
		Text:   "a response does not directly follow the calls: move it",
		Source: github + "GoogleCloudPlatform/generative-ai/pull/368",
	},
	"responses-count": {
		Text:   "the next content has not as many responses as there are calls: send one for each",
		Source: github + "google-gemini/gemini-cli/issues/4217",
	},
	"responses-alone": {
		Text:   "other parts stand beside responses: put them into the next content",
		Source: github + "anomalyco/opencode/pull/43479",
	},
	"response-of-call": {
		Text:   "the response has another id or name than the call: use the call's",
		Source: docs + "api/caching#FunctionResponse",
	},
	"call-signature": {
		Text:   "the first call of a content has no signature: send back the call's, or the placeholder",
		Source: docs + "gemini-api/docs/thought-signatures",
	},
	"system-text": {
		Text:   "the system instruction has a part that is no text: move it",
		Source: docs + "api/generate-content",
	},
}
