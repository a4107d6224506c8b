/** The rules of OpenAI's Chat Completions API for `messages`, each with its public source. */

import { loaded } from "./_content.ts";
import { isAcceptedName } from "./_names.ts";
import { isFilled, member, placedObjectsOf, textOf } from "./_values.ts";
import { rule } from "./_violations.ts";
import type { JsonObject, Violation } from "./types.ts";

export const MAX_CALL_ID_LENGTH = 40;
const MAX_CALLS = 128;
/** The roles, and the types of the parts that each takes. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  system: ["text"],
  developer: ["text"],
  tool: ["text"],
  assistant: ["text", "refusal"],
  user: ["text", "image_url", "input_audio", "file"],
};
const SPOKEN = ["tool_calls", "function_call", "refusal", "audio"];

const TYPES = "https://github.com/openai/openai-python/blob/main/src/openai/types/chat";
const RULES = {
  role: rule(
    "role",
    `the role must be one of ${Object.keys(PARTS).join(", ")}`,
    `${TYPES}/chat_completion_message_param.py`,
  ),
  content: rule(
    "content-required",
    "the message must have text or a list of parts, or be the model's with calls, refusal or audio",
    `${TYPES}/chat_completion_assistant_message_param.py`,
  ),
  partType: rule(
    "part-type",
    "the role does not take a part of this type: send it in a message of the user",
    `${TYPES}/chat_completion_content_part_param.py`,
  ),
  name: rule(
    "name-characters",
    "a name has 1 to 64 of the characters A-Z a-z 0-9 _ -",
    "https://github.com/microsoft/autogen/issues/4157",
  ),
  functionName: rule(
    "function-name",
    "the name of a function has 1 to 64 of the characters A-Z a-z 0-9 _ -",
    "https://github.com/microsoft/semantic-kernel/issues/5320",
  ),
  callShape: rule(
    "call-shape",
    "a call has an id, the type function or custom, and a name and arguments that are text",
    `${TYPES}/chat_completion_message_function_tool_call_param.py`,
  ),
  callsEmpty: rule(
    "calls-not-empty",
    "tool_calls must have a call: leave it out",
    "https://github.com/openai/openai-node/pull/1341",
  ),
  callsMany: rule(
    "calls-at-most-128",
    "a message has at most 128 calls: split it",
    "https://github.com/openai/openai-dotnet/issues/317",
  ),
  idLength: rule(
    "call-id-length",
    `the id of a call has at most ${MAX_CALL_ID_LENGTH} characters`,
    "https://github.com/vercel/ai/issues/5171",
  ),
  idUnique: rule(
    "call-id-unique",
    "the calls of a message need ids of their own, because each result names its call by the id",
    `${TYPES}/chat_completion_tool_message_param.py`,
  ),
  callsRole: rule(
    "calls-of-assistant",
    "only a message of the assistant has calls",
    `${TYPES}/chat_completion_assistant_message_param.py`,
  ),
  unanswered: rule(
    "calls-answered",
    "a tool message for each call must directly follow the message",
    "https://github.com/pipecat-ai/pipecat/issues/309",
  ),
  loneResult: rule(
    "result-follows-call",
    "a tool message must directly follow the message with its call, once for each call",
    "https://github.com/openai/openai-go/issues/43",
  ),
} as const;

/** Returns the rules of the API that the `messages` of a request break, in their order. */
export function violations(request: object | string | Uint8Array): Violation[] {
  const found: Violation[] = [];
  let openIds: string[] = [];
  let calling = "";
  placedObjectsOf(loaded(request).messages).forEach((item, index) => {
    const path = `messages[${index}]`;
    if (openIds.length && item.role !== "tool") {
      found.push(RULES.unanswered(calling));
      openIds = [];
    }
    if (typeof item.role !== "string" || !Object.hasOwn(PARTS, item.role)) {
      found.push(RULES.role(`${path}.role`));
      return;
    }
    found.push(...checkContent(item, path), ...checkName(item, path), ...checkCalls(item, path));
    if (item.role === "tool") {
      const answered = openIds.indexOf(textOf(item.tool_call_id));
      if (answered < 0) found.push(RULES.loneResult(`${path}.tool_call_id`));
      else openIds.splice(answered, 1);
      return;
    }
    openIds = idsOf(item);
    calling = `${path}.tool_calls`;
  });
  return openIds.length ? [...found, RULES.unanswered(calling)] : found;
}

function idsOf(item: JsonObject): string[] {
  return placedObjectsOf(item.tool_calls).map(({ id }) => textOf(id));
}

/** Returns the rules that the content of an item breaks. Its role is known. */
export function checkContent(item: JsonObject, path: string): Violation[] {
  const { role, content } = item;
  if (Array.isArray(content) && content.length) {
    return content.flatMap((part, index) =>
      PARTS[role as string]!.includes(textOf(member(part, "type")))
        ? []
        : [RULES.partType(`${path}.content[${index}].type`)],
    );
  }
  const isSpoken = role === "assistant" && SPOKEN.some((name) => isFilled(item[name]));
  const isAccepted = typeof content === "string" || ((content ?? null) === null && isSpoken);
  return isAccepted ? [] : [RULES.content(`${path}.content`)];
}

function checkName(item: JsonObject, path: string): Violation[] {
  return !("name" in item) || isAcceptedName(item.name) ? [] : [RULES.name(`${path}.name`)];
}

function checkCalls(item: JsonObject, messagePath: string): Violation[] {
  if (!("tool_calls" in item)) return [];
  const path = `${messagePath}.tool_calls`;
  const calls = placedObjectsOf(item.tool_calls);
  const ids = idsOf(item);
  return [
    ...(item.role === "assistant" ? [] : [RULES.callsRole(path)]),
    ...(calls.length ? [] : [RULES.callsEmpty(path)]),
    ...(calls.length > MAX_CALLS ? [RULES.callsMany(path)] : []),
    ...calls.flatMap((call, index) => [
      ...checkCall(call, `${path}[${index}]`),
      ...(ids.indexOf(ids[index]!) < index ? [RULES.idUnique(`${path}[${index}].id`)] : []),
    ]),
  ];
}

function checkCall(call: JsonObject, path: string): Violation[] {
  const { type: kind, id } = call;
  if ((kind !== "function" && kind !== "custom") || typeof id !== "string" || !id) {
    return [RULES.callShape(path)];
  }
  if (typeof member(call[kind], kind === "custom" ? "input" : "arguments") !== "string") {
    return [RULES.callShape(path)];
  }
  return [
    ...([...id].length > MAX_CALL_ID_LENGTH ? [RULES.idLength(`${path}.id`)] : []),
    ...(isAcceptedName(member(call[kind], "name"))
      ? []
      : [RULES.functionName(`${path}.${kind}.name`)]),
  ];
}
