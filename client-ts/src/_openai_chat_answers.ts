/** The parts of an answer of OpenAI's Chat Completions API, streamed or whole. */

import { payloadOf } from "./_content.ts";
import { REASONING_KEYS } from "./_openai_chat_items.ts";
import { isFilled, isObject, member } from "./_values.ts";
import type { Json, JsonObject, MessageStatus, Usage } from "./types.ts";

export { PAYLOAD_TYPE } from "./_openai_chat_items.ts";

export const PROVIDER = "openai";

/** Returns an answer's message as a payload, in one order of members. */
export function payloadOfAnswer(message: JsonObject): string {
  const known = ["role", "content", "refusal", ...REASONING_KEYS, "tool_calls"];
  const ordered: [string, Json][] = [
    ...known.map((name): [string, Json] => [name, message[name] ?? null]),
    ...Object.entries(message).filter(([name]) => !known.includes(name)),
  ];
  const isKept = (value: Json) =>
    value !== null && value !== "" && !(Array.isArray(value) && !value.length);
  const kept = Object.fromEntries(ordered.filter(([, value]) => isKept(value)));
  return payloadOf({ role: "assistant", content: null, ...kept });
}

/** Returns whether an answer is whole. One that was cut may have half arguments. */
export function statusOf(finishReason: string): MessageStatus {
  const isCut = ["", "length", "content_filter"].includes(finishReason);
  return isCut ? "MESSAGE_STATUS_INTERRUPTED" : "MESSAGE_STATUS_COMPLETE";
}

/** Returns the tokens that an answer names. */
export function usageOf(usage: Json | undefined): Usage | undefined {
  if (!isObject(usage) || !isFilled(usage)) return undefined;
  const details = usage.prompt_tokens_details;
  const counts = {
    inputTokens: usage.prompt_tokens,
    outputTokens: usage.completion_tokens,
    cacheReadTokens: member(details, "cached_tokens"),
    cacheWriteTokens: member(details, "cache_write_tokens"),
  };
  return Object.fromEntries(
    Object.entries(counts).filter(([, count]) => typeof count === "number"),
  ) as Usage;
}
