/**
 * OpenAI's Chat Completions API, which many servers have: the `messages` of a request, and answers.
 *
 * For a request of `toRequest`, `toRequest(fromRequest(request))` is the request. Parallel calls that
 * were stored apart are one message, and so are several results of one call. JSON is text. Media that a role
 * does not take are a message of the user behind it. A request has no place for reasoning without the payload
 * of this API, and for the service's own fields.
 */

import {
  type AnsweredCall,
  arrange,
  type Called,
  type Caller,
  callsOf,
  NO_RESULT,
} from "./_arrange.ts";
import { loaded } from "./_content.ts";
import { acceptedName } from "./_names.ts";
import { payloadOfAnswer, PROVIDER, statusOf, usageOf } from "./_openai_chat_answers.ts";
import * as items from "./_openai_chat_items.ts";
import { MAX_CALL_ID_LENGTH } from "./_openai_chat_rules.ts";
import { isFilled, isObject, messageOf, objectsOf, textOf } from "./_values.ts";
import type { History, JsonObject, Message, Unanswered } from "./types.ts";

export { PAYLOAD_TYPE } from "./_openai_chat_items.ts";
export { StreamReader } from "./_openai_chat_stream.ts";
export { violations } from "./_openai_chat_rules.ts";

/** The part of a request that the conversation fills. */
export interface Request<Item = JsonObject> {
  messages: Item[];
}

export interface Options {
  /** How to convert a tool call without a result, which the API refuses. Default MARKER. */
  unanswered?: Unanswered;
}

const IDS = { maxLength: MAX_CALL_ID_LENGTH, pattern: /^[^\0]+$/ };
const SPOKEN = ["content", "tool_calls", "refusal", "audio", "function_call"];

/**
 * Returns the `messages` of a request, from a history or from messages in stored order.
 *
 * @typeParam Item The type of an item in your client of the API: `OpenAI.ChatCompletionMessageParam`.
 */
export function toRequest<Item = JsonObject>(
  messages: History | Iterable<Message>,
  options: Options = {},
): Request<Item> {
  const steps = arrange(messages, IDS, options.unanswered);
  const made = steps.flatMap((step) => ("said" in step ? said(step.said) : called(step)));
  return { messages: made as Item[] };
}

/** Returns the messages of a request: an object, JSON text, or its bytes. */
export function fromRequest(request: object | string | Uint8Array): Message[] {
  return objectsOf(loaded(request).messages).map(items.readWithPayload);
}

/**
 * Returns the message of a response, or none if it has no choice. Of several choices it is the first.
 *
 * `payload` is the API's message without members that are empty, so that a stream of the same answer stores
 * the same.
 */
export function fromResponse(response: object | string | Uint8Array): Message[] {
  const { model, usage, choices } = loaded(response);
  return objectsOf(choices)
    .slice(0, 1)
    .map(({ message, finish_reason: finishReason }) => {
      if (!isObject(message)) throw new TypeError("a choice of a response has no message");
      return messageOf({
        ...items.read({ ...message, content: message.content || null }),
        provider: PROVIDER,
        model: textOf(model),
        status: statusOf(textOf(finishReason)),
        finishReason: textOf(finishReason),
        usage: usageOf(usage),
        payload: payloadOfAnswer(message),
        payloadType: items.PAYLOAD_TYPE,
      });
    });
}

function said(message: Message): JsonObject[] {
  const item = items.ownItem(message) ?? items.written(message);
  const spoken = SPOKEN.some((name) => isFilled(item[name])) ? [item] : [];
  return [...spoken, ...shown(items.refusedMedia(message))];
}

/** Returns the message with the calls of all messages of a row, and their results. */
function called(step: Called): JsonObject[] {
  const calling = step.callers.filter(({ calls }) => calls.length).map(caller);
  const answered = callsOf(step);
  const messages = [
    ...step.callers.map(({ message }) => message),
    ...answered.flatMap(({ results }) => results),
  ];
  return [
    { ...calling[0], tool_calls: calling.flatMap((item) => item.tool_calls) },
    ...answered.map(result),
    ...shown(messages.flatMap(items.refusedMedia)),
  ];
}

/** Returns a message of the user with media that another role does not take. */
function shown(media: JsonObject[]): JsonObject[] {
  return media.length ? [{ role: "user", content: media }] : [];
}

/** Returns the item of a message with calls: its own one with the calls that are kept, as they are sent. */
function caller({ message, calls }: Caller) {
  const own = items.ownItem(message);
  const stored = objectsOf(own?.tool_calls);
  const { function_call: _, ...item } = own ?? items.written(message);
  return { ...item, tool_calls: calls.map((answered) => call(answered, stored[answered.index])) };
}

function call({ call: sent }: AnsweredCall, stored: JsonObject = {}): JsonObject {
  if (stored.type === "custom" && isObject(stored.custom)) {
    return { ...stored, id: sent.id, custom: { ...stored.custom, name: acceptedName(sent.name) } };
  }
  const made = items.writtenCall(sent);
  const own = isObject(stored.function) ? stored.function : {};
  return { ...stored, ...made, function: { ...own, ...made.function } };
}

/** Returns the one result of a call that the API takes. */
function result({ call: { id }, results }: AnsweredCall): JsonObject {
  const [first, ...others] = results;
  if (!first) return { role: "tool", tool_call_id: id, content: NO_RESULT };
  if (!others.length)
    return { ...(items.ownItem(first) ?? items.written(first)), tool_call_id: id };
  const texts = items.textsAsParts(results);
  return { role: "tool", tool_call_id: id, content: texts.length ? texts : "" };
}
