/**
 * OpenAI's Responses API: the `input` of a request, and answers.
 *
 * An answer is one message: its texts, calls and reasoning, with the items of `output` as its payload. So no
 * window has a call without the reasoning before it, which the API refuses. A request has no place for
 * reasoning without that payload, for names of speakers, and for the service's own fields. Items of the model
 * in a row are one message if calls are among them, and so are several results of one call. JSON is text.
 * Media that a role does not take are a message of the user behind it.
 */

import { type AnsweredCall, arrange, type Called, type Caller, NO_RESULT } from "./_arrange.ts";
import { loaded } from "./_content.ts";
import { acceptedName } from "./_names.ts";
import * as items from "./_openai_responses_items.ts";
import { MAX_CALL_ID_LENGTH } from "./_openai_responses_rules.ts";
import { answerOf } from "./_openai_responses_stream.ts";
import { isEqual, isFilled, messageOf, objectsOf, textOf } from "./_values.ts";
import type { History, JsonObject, Message, Unanswered } from "./types.ts";

export { PAYLOAD_TYPE } from "./_openai_responses_items.ts";
export { violations } from "./_openai_responses_rules.ts";
export { StreamReader } from "./_openai_responses_stream.ts";

/** The part of a request that the conversation fills. */
export interface Request<Item = JsonObject> {
  input: Item[];
}

export interface Options {
  /** How to convert a tool call without a result, which the API refuses. Default MARKER. */
  unanswered?: Unanswered;
}

const IDS = { maxLength: MAX_CALL_ID_LENGTH, pattern: /^[^\0]+$/ };

/**
 * Returns the `input` of a request, from a history or from messages in stored order.
 *
 * Send `store: false` and `include: ["reasoning.encrypted_content"]`, so that reasoning can be sent back also
 * when OpenAI does not keep it.
 *
 * @typeParam Item The type of an item in your client of the API: `OpenAI.Responses.ResponseInputItem`.
 */
export function toRequest<Item = JsonObject>(
  messages: History | Iterable<Message>,
  options: Options = {},
): Request<Item> {
  const steps = arrange(messages, IDS, options.unanswered);
  const made = steps.flatMap((step) => ("said" in step ? said(step.said) : called(step)));
  return { input: withFollowedReasoning(withUniqueIds(made)) as Item[] };
}

/** Returns the messages of a request: an object, JSON text, or its bytes. Its instructions come first. */
export function fromRequest(request: object | string | Uint8Array): Message[] {
  const { instructions, input } = loaded(request);
  const first = textOf(instructions);
  const told: Message[] = first ? [{ role: "ROLE_SYSTEM", content: first }] : [];
  if (typeof input === "string") return [...told, { role: "ROLE_USER", content: input }];
  return [...told, ...groups(objectsOf(input)).map(read)];
}

/** Returns the message of a response. `payload` has the items of its `output`. */
export function fromResponse(response: object | string | Uint8Array): Message[] {
  const told = loaded(response);
  if ("error" in told && !("output" in told))
    throw new TypeError("the response is an error: there is no message to store");
  return [answerOf(told)];
}

function read(group: JsonObject[]): Message {
  const first = group[0]!;
  return items.isModels(first) ? items.readGroup(group) : items.readItem(first);
}

/** Returns the items of each message. Items of the model that follow a call stay with it. */
function groups(input: readonly JsonObject[]): JsonObject[][] {
  const found: JsonObject[][] = [];
  for (const item of input) {
    const group = found.at(-1);
    if (group && continues(group, item)) group.push(item);
    else found.push([item]);
  }
  return found;
}

function continues(group: readonly JsonObject[], item: JsonObject): boolean {
  if (!items.isModels(item) || !items.isModels(group[0]!)) return false;
  return group.some(items.isCall) || group.every(items.isReasoning) || items.isCall(item);
}

function said(message: Message): JsonObject[] {
  const media = shown(items.refusedMedia(message));
  if (message.role === "ROLE_ASSISTANT") {
    const own = items.ownAnswer(message) ?? [];
    return [...(own.length ? own : items.writtenAnswer(message)), ...media];
  }
  const item = items.ownItem(message) ?? items.writtenMessage(message);
  return isFilled(item.content) ? [item, ...media] : media;
}

/** Returns the items of messages with calls, and the results. */
function called({ callers }: Called): JsonObject[] {
  const rows = callers.map((caller) => ({ caller, own: ownItems(caller) }));
  return [
    ...rows.flatMap(({ caller, own }) => own ?? items.writtenAnswer(sent(caller))),
    ...rows.flatMap(({ caller, own }) =>
      caller.calls.map((answered) => result(answered, kindOf(own, answered))),
    ),
    ...shown(callers.flatMap(({ message }) => items.refusedMedia(message))),
  ];
}

function sent({ message, calls }: Caller): Message {
  return messageOf({ ...message, toolCalls: calls.map(({ call }) => call) });
}

/** Returns a message of the user with media that another role does not take. */
function shown(media: JsonObject[]): JsonObject[] {
  return media.length ? [{ role: "user", content: media }] : [];
}

/** Returns the type of a call as it is sent. */
function kindOf(own: JsonObject[] | undefined, { call }: AnsweredCall): string {
  const item = own?.find((one) => one.call_id === call.id && items.isCall(one));
  return item ? items.typeOf(item) : "function_call";
}

/** Returns a message's own items with the calls that are kept, as they are sent. */
function ownItems({ message, calls }: Caller): JsonObject[] | undefined {
  const kept = new Map(calls.map((answered) => [answered.index, answered]));
  const made: JsonObject[] = [];
  const dropped = new Set<number>();
  let index = -1;
  for (const item of items.ownAnswer(message) ?? []) {
    if (!items.isCall(item)) {
      made.push(item);
      continue;
    }
    index += 1;
    const answered = kept.get(index);
    if (!answered) dropped.add(made.length);
    else if (!canBeAnswered(item, answered)) return undefined;
    else made.push(call(item, answered));
  }
  return made.length ? withoutReasoningOf(made, dropped) : undefined;
}

/** Returns whether there is a result of the type that a call wants. Text is for calls with text. */
function canBeAnswered(item: JsonObject, { results }: AnsweredCall): boolean {
  const kind = items.typeOf(item);
  const types = results.map((one) => items.typeOf(items.ownItem(one)));
  return items.TEXT_CALLS.has(kind) || isEqual(types, [kind + items.OUTPUT_SUFFIX]);
}

/** Returns the item of a call, with the id, the name and the arguments that are sent. */
function call(item: JsonObject, answered: AnsweredCall): JsonObject {
  const isFunction = items.typeOf(item) === "function_call";
  const changed: JsonObject = isFunction
    ? items.writtenCall(answered.call)
    : {
        call_id: answered.call.id,
        ...("name" in item && { name: acceptedName(textOf(item.name)) }),
      };
  const made = { ...item, ...changed };
  if (isEqual(made, item)) return made;
  const { id: _, ...others } = made;
  return others;
}

/**
 * Returns items without the reasoning of calls that are left out, if nothing else follows it.
 *
 * @param dropped The places in the items at which calls were.
 */
function withoutReasoningOf(
  made: readonly JsonObject[],
  dropped: ReadonlySet<number>,
): JsonObject[] {
  const kept: JsonObject[] = [];
  let isFollowed = true;
  for (const [place, item] of [...made.entries()].reverse()) {
    const next = made[place + 1];
    if (!items.isReasoning(item)) isFollowed = true;
    else if ((!next || items.isReasoning(next)) && dropped.has(place + 1)) isFollowed = false;
    if (isFollowed) kept.unshift(item);
  }
  return kept;
}

/** Returns the one result of a call that the API takes. */
function result({ call: { id }, results }: AnsweredCall, kind: string): JsonObject {
  const wanted = { type: kind + items.OUTPUT_SUFFIX, call_id: id };
  const [first, ...others] = results;
  if (!first) return { ...wanted, output: NO_RESULT };
  const own = others.length ? undefined : items.ownItem(first);
  if (own && items.typeOf(own) === wanted.type) return { ...own, ...wanted };
  return { ...items.writtenOutput(results), ...wanted };
}

/** Returns items. One whose id an earlier one has loses it; reasoning, which needs one, is left out. */
function withUniqueIds(made: readonly JsonObject[]): JsonObject[] {
  const seen = new Set<string>();
  return made.flatMap((item) => {
    const { id, ...others } = item;
    const isSeen = typeof id === "string" && id !== "" && seen.has(id);
    seen.add(textOf(id));
    if (!isSeen) return [item];
    return items.isReasoning(item) ? [] : [others];
  });
}

/** Returns items without reasoning that nothing of the model follows. */
function withFollowedReasoning(made: readonly JsonObject[]): JsonObject[] {
  const kept: JsonObject[] = [];
  for (const item of made.toReversed()) {
    const next = kept.at(-1);
    if (!items.isReasoning(item) || (next && items.isModels(next))) kept.push(item);
  }
  return kept.reverse();
}
