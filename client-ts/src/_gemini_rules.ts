/** The rules of Gemini's `generateContent`, each with its public source. */

import { rule } from "./_violations.ts";
import type { Violation } from "./types.ts";

const DOCS = "https://ai.google.dev";
const GITHUB = "https://github.com";

const RULES = {
  "contents-present": ["there is no content: send at least one", `${DOCS}/api/generate-content`],
  "known-role": ["the role is neither user nor model: name one", `${DOCS}/api/caching#Content`],
  "first-is-user": [
    "the first content is the model's: begin with the user's",
    `${GITHUB}/google-gemini/gemini-cli/issues/11814`,
  ],
  "last-is-user": [
    "the last content is the model's: end with the user's",
    `${GITHUB}/crewAIInc/crewAI/pull/6973`,
  ],
  "parts-present": ["the content has no parts: leave it out", `${GITHUB}/vercel/ai/issues/3775`],
  "part-data": [
    "the part has not exactly one kind of data: split it, or leave it out",
    `${GITHUB}/router-for-me/CLIProxyAPI/issues/1292`,
  ],
  "text-present": [
    "the text is empty: leave the part out",
    `${GITHUB}/glowingjade/obsidian-smart-composer/issues/218`,
  ],
  "blob-data": ["the medium has no type or no bytes: send both", `${DOCS}/api/caching#Blob`],
  "file-uri": ["the file has no URI: send one", `${DOCS}/api/caching#FileData`],
  "function-name": [
    "the name is not 1 to 64 letters, digits and _.:-, beginning with a letter or _: replace it",
    `${GITHUB}/kaitranntt/ccs/issues/25`,
  ],
  "call-arguments": ["the arguments are no object: send one", `${DOCS}/api/caching#FunctionCall`],
  "response-object": [
    "the response is no object: send one",
    `${DOCS}/api/caching#FunctionResponse`,
  ],
  "call-place": [
    "a call does not directly follow the user's content or responses: move it",
    `${GITHUB}/google-gemini/gemini-cli/issues/26486`,
  ],
  "call-role": [
    "a call is not the model's, or a response is: change the role",
    `${DOCS}/gemini-api/docs/function-calling`,
  ],
  "responses-follow": [
    "a response does not directly follow the calls: move it",
    `${GITHUB}/GoogleCloudPlatform/generative-ai/pull/368`,
  ],
  "responses-count": [
    "the next content has not as many responses as there are calls: send one for each",
    `${GITHUB}/google-gemini/gemini-cli/issues/4217`,
  ],
  "responses-alone": [
    "other parts stand beside responses: put them into the next content",
    `${GITHUB}/anomalyco/opencode/pull/43479`,
  ],
  "response-of-call": [
    "the response has another id or name than the call: use the call's",
    `${DOCS}/api/caching#FunctionResponse`,
  ],
  "call-signature": [
    "the first call of a content has no signature: send back the call's, or the placeholder",
    `${DOCS}/gemini-api/docs/thought-signatures`,
  ],
  "system-text": [
    "the system instruction has a part that is no text: move it",
    `${DOCS}/api/generate-content`,
  ],
} as const;

export type RuleName = keyof typeof RULES;

/** Returns the violation of a rule at a place. */
export function violation(name: RuleName, path: string): Violation {
  const [text, source] = RULES[name];
  return rule(name, text, source)(path);
}
