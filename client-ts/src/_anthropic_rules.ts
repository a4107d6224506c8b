/** The rules of Anthropic's Messages API, each with its public source. */

import { rule } from "./_violations.ts";
import type { Violation } from "./types.ts";

const DOCS = "https://platform.claude.com/docs/en";
const GITHUB = "https://github.com";

const RULES = {
  "messages-present": [
    "there is no message: send at least one",
    `${DOCS}/build-with-claude/working-with-messages`,
  ],
  "message-limit": ["there are more than 100,000 messages: send fewer", `${DOCS}/api/messages`],
  "known-role": [
    "the role is none of user, assistant and system: name one",
    `${DOCS}/api/messages`,
  ],
  "first-is-user": [
    "the first message is not the user's: begin with one",
    `${GITHUB}/lobehub/lobehub/issues/1601`,
  ],
  "alternating-roles": [
    "two messages of one role follow each other: join them",
    `${GITHUB}/BerriAI/litellm/issues/3474`,
  ],
  "system-place": [
    "a system message stands in a wrong place: put it between a user's message and the model's",
    `${DOCS}/build-with-claude/mid-conversation-system-messages`,
  ],
  "content-present": [
    "the message has no content: leave it out",
    `${GITHUB}/anthropics/claude-code/issues/6774`,
  ],
  "text-present": [
    "the text is empty: leave the block out",
    `${GITHUB}/anthropics/claude-code/issues/62150`,
  ],
  "text-not-blank": [
    "the text is white space only: leave the block out",
    `${GITHUB}/anthropics/claude-code/issues/23369`,
  ],
  "block-role": [
    "the block may not stand in a message of this role: leave it out",
    `${GITHUB}/SEMOSS/Semoss/issues/2323`,
  ],
  "call-id": [
    "the id has other characters than letters, digits, _ and -: replace it",
    `${GITHUB}/maximhq/bifrost/issues/5097`,
  ],
  "unique-call-id": [
    "an earlier call has the id: give each call its own",
    `${GITHUB}/anomalyco/opencode/issues/1150`,
  ],
  "call-name": [
    "the name is not 1 to 128 letters, digits, _ and -: replace it",
    `${DOCS}/agents-and-tools/tool-use/define-tools`,
  ],
  "call-input": [
    "the input is no object: send one",
    `${DOCS}/agents-and-tools/tool-use/handle-tool-calls`,
  ],
  "calls-last": [
    "another block follows a call: put calls at the end of the message",
    `${GITHUB}/BerriAI/litellm/pull/22947`,
  ],
  "call-answered": [
    "the next message has no result of the call: put it there",
    `${GITHUB}/anthropics/claude-code/issues/8210`,
  ],
  "result-of-call": [
    "the previous message has no call of this id: leave the result out",
    `${GITHUB}/anthropics/claude-code/issues/13460`,
  ],
  "one-result": ["the call has two results: join them", `${GITHUB}/QwenLM/qwen-code/pull/8163`],
  "results-first": [
    "another block stands before a result: put results first",
    `${DOCS}/agents-and-tools/tool-use/handle-tool-calls`,
  ],
  "error-result": [
    "the result of an error is not all text: send text only",
    `${GITHUB}/vellum-ai/vellum-assistant/pull/18387`,
  ],
  "thinking-signed": [
    "the thinking has no signature or no data: leave it out",
    `${DOCS}/build-with-claude/extended-thinking`,
  ],
  "thinking-not-last": [
    "the message ends with thinking: leave it out",
    `${GITHUB}/tailcallhq/forgecode/issues/2107`,
  ],
  "thinking-first": [
    "thinking is enabled, and the message of the open calls begins without it: disable thinking",
    `${GITHUB}/n8n-io/n8n/issues/22550`,
  ],
  "image-type": [
    "the image is neither JPEG, PNG, GIF nor WebP: convert it",
    `${DOCS}/build-with-claude/vision`,
  ],
  "document-type": [
    "the document is neither PDF nor plain text: convert it",
    `${DOCS}/build-with-claude/pdf-support`,
  ],
  "source-present": [
    "the medium has no source: send bytes, a URL or a file",
    `${DOCS}/build-with-claude/vision`,
  ],
  "no-prefill": [
    "the last message is the model's, and newer models continue none: end with the user's",
    `${DOCS}/api/errors`,
  ],
  "no-trailing-space": [
    "the last message is the model's, and ends with white space: remove that",
    `${GITHUB}/tailcallhq/forgecode/issues/1872`,
  ],
  "cache-limit": [
    "there are more than 4 breakpoints: set fewer",
    `${GITHUB}/tghamm/Anthropic.SDK/issues/50`,
  ],
  "cache-place": [
    "the block takes no breakpoint: set it at another one",
    `${GITHUB}/Wei-Shaw/sub2api/issues/225`,
  ],
  "system-text": ["the system prompt has a block that is no text: move it", `${DOCS}/api/messages`],
} as const;

export type RuleName = keyof typeof RULES;

/** Returns the violation of a rule at a place. */
export function violation(name: RuleName, path: string): Violation {
  const [text, source] = RULES[name];
  return rule(name, text, source)(path);
}
