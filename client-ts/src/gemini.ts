/**
 * Gemini's `generateContent`: `systemInstruction` and `contents` of a request, and answers, in the names of
 * the REST API.
 *
 * - System and developer prompts at the beginning become `systemInstruction`. A later one becomes text of the
 *   user at its place.
 * - Consecutive messages of one role are joined into one content. The responses of calls are a content of
 *   their own, in the order of the calls; what the user says, and media of results, are the next one.
 * - A call without a signature gets `NO_SIGNATURE`, unless `signatures` is false.
 * - The API has no place for empty texts, media without a type, unsigned reasoning and the names of speakers.
 * - If the first content would be the model's, a user's content `BEGINNING` stands before it, and if the last
 *   would be, `CONTINUE` follows it. `fromRequest` leaves both out.
 */

import { arrange, type Called, callsOf, type Step } from "./_arrange.ts";
import { loaded } from "./_content.ts";
import { CALL, partsOf, RESPONSE, SIGNATURE } from "./_gemini_checks.ts";
import { camel } from "./_gemini_names.ts";
import * as parts from "./_gemini_parts.ts";
import { NO_SIGNATURE } from "./_gemini_parts.ts";
import { finished } from "./_gemini_stream.ts";
import { BEGINNING, CONTINUE, isPrompt, joined, type Turn } from "./_turns.ts";
import { isEqual, isFilled, isObject, member, messageOf, objectsOf, textOf } from "./_values.ts";
import type { History, JsonObject, Message, Role, Unanswered } from "./types.ts";

export { type CheckOptions, violations } from "./_gemini_checks.ts";
export { NO_SIGNATURE, PAYLOAD_TYPE } from "./_gemini_parts.ts";
export { StreamReader } from "./_gemini_stream.ts";
export { BEGINNING, CONTINUE } from "./_turns.ts";

/** A content of a request, if you name no type of your client of the API. */
type AnyContent = { role: string; parts: JsonObject[] };

/** The part of a request that the conversation fills. */
export interface Request<Content = AnyContent> {
  systemInstruction?: { parts: { text: string }[] };
  contents: Content[];
}

export interface Options {
  /** How to convert a tool call without a result, which the API refuses. Default MARKER. */
  unanswered?: Unanswered;
  /**
   * Whether the model wants signatures of calls, as models from Gemini 3 on do. Calls without one then get
   * the signature that Google documents for them. Default true.
   */
  signatures?: boolean;
}

const IDS = { maxLength: 8_192, pattern: /^[^\0]+$/ };

/**
 * Returns `systemInstruction` and `contents` of a request, from a history or from messages in stored order.
 *
 * @typeParam Content The type of a content in your client of the API: `Content` of `@google/genai`.
 */
export function toRequest<Content = AnyContent>(
  messages: History | Iterable<Message>,
  options: Options = {},
): Request<Content> {
  const system: JsonObject[] = [];
  const turns: Turn[] = [];
  for (const step of arrange(messages, IDS, options.unanswered)) {
    if ("said" in step && isPrompt(step.said) && !turns.length) {
      const told = parts.said(step.said);
      system.push(...told.filter((part) => "text" in part));
      turns.push(...joined([{ role: "user", blocks: withoutTexts(told) }]));
    } else {
      turns.push(...joined(turnsOf(step)));
    }
  }
  const sent = completed(joined(turns)).map(options.signatures === false ? asIs : signed);
  return {
    ...(system.length && { systemInstruction: { parts: system as { text: string }[] } }),
    contents: sent.map(contentOf) as Content[],
  };
}

/** Returns the messages of a request. A message of the model has its content as payload if it needs it. */
export function fromRequest(request: object | string | Uint8Array): Message[] {
  const { systemInstruction, contents } = camel(loaded(request));
  const turns: Turn[] = objectsOf(contents).map((one) => ({
    role: textOf(one.role),
    blocks: partsOf(one),
  }));
  if (isEqual(turns.at(0), filler(BEGINNING))) turns.shift();
  if (isEqual(turns.at(-1), filler(CONTINUE))) turns.pop();
  const ordered = turns.map((turn, index) => inOrder(turns[index - 1]?.blocks ?? [], turn));
  const prompts = partsOf(systemInstruction).map((part) => said("ROLE_SYSTEM", [part]));
  return [...prompts, ...ordered.flatMap(messagesOfTurn)];
}

/** Returns the message of a response, with its content as payload; none if it has no candidate. */
export function fromResponse(response: object | string | Uint8Array): Message[] {
  const { candidates, modelVersion, usageMetadata } = camel(loaded(response));
  return objectsOf(candidates)
    .slice(0, 1)
    .map(({ content, finishReason }) =>
      messageOf({
        ...parts.answer(partsOf(content)),
        provider: parts.PROVIDER,
        model: textOf(modelVersion),
        ...finished(textOf(finishReason), usageMetadata),
      }),
    );
}

/** Returns the turns of a step. */
function turnsOf(step: Step): Turn[] {
  if ("callers" in step) return called(step);
  const { said: message } = step;
  return message.role === "ROLE_ASSISTANT"
    ? [{ role: "model", blocks: parts.ofModel({ message, calls: [] }) }]
    : [{ role: "user", blocks: parts.said(message) }];
}

/** Returns the calls, their responses, and the media of the results. */
function called(step: Called): Turn[] {
  const responses = step.callers.flatMap(({ message, calls }) =>
    calls.map((answered) => parts.response(answered, message.toolCalls![answered.index]!)),
  );
  const results = callsOf(step).flatMap((answered) => answered.results);
  return [
    { role: "model", blocks: step.callers.flatMap(parts.ofModel) },
    { role: "responses", blocks: responses },
    { role: "user", blocks: withoutTexts(results.flatMap(parts.said)) },
  ];
}

function withoutTexts(told: JsonObject[]): JsonObject[] {
  return told.filter((part) => !("text" in part));
}

/** Returns the turns, with a user's turn before and behind them where the API wants one. */
function completed(turns: Turn[]): Turn[] {
  const first = turns[0]?.role ?? "model";
  return [
    ...(first === "model" ? [filler(BEGINNING)] : []),
    ...turns,
    ...(turns.at(-1)?.role === "model" ? [filler(CONTINUE)] : []),
  ];
}

function filler(text: string): Turn {
  return { role: "user", blocks: [{ text }] };
}

/** Returns a turn of which the first call has a signature. */
function signed(turn: Turn): Turn {
  const first = turn.blocks.findIndex((part) => CALL in part);
  const sign = (part: JsonObject, index: number) =>
    index !== first || isFilled(part[SIGNATURE]) ? part : { ...part, [SIGNATURE]: NO_SIGNATURE };
  return { ...turn, blocks: turn.blocks.map(sign) };
}

function asIs(turn: Turn): Turn {
  return turn;
}

function contentOf({ role, blocks }: Turn): AnyContent {
  return { role: role === "model" ? "model" : "user", parts: blocks };
}

/** Returns responses in the order of their calls: without ids the order says to which call each belongs. */
function inOrder(before: readonly JsonObject[], turn: Turn): Turn {
  const left = [...turn.blocks];
  const ordered = before.flatMap((part) => {
    const call = part[CALL];
    const place = call === undefined ? -1 : left.findIndex((one) => answers(one, call));
    return place < 0 ? [] : left.splice(place, 1);
  });
  return { ...turn, blocks: [...ordered, ...left] };
}

function answers(part: JsonObject, call: unknown): boolean {
  return ["id", "name"].every((name) => member(part[RESPONSE], name) === member(call, name));
}

/** Returns the messages of a content: the model's, or responses and what the user says. */
function messagesOfTurn({ role, blocks }: Turn): Message[] {
  if (role === "model") return [parts.messageOfModel(blocks.map(asStored))];
  const results = blocks.map((part) => part[RESPONSE]).filter(isObject);
  const others = blocks.filter((part) => !(RESPONSE in part));
  return [
    ...results.map(parts.resultMessage),
    ...(others.length ? [said("ROLE_USER", others)] : []),
  ];
}

/** Returns a part without the signature that says that it has none. */
function asStored(part: JsonObject): JsonObject {
  const { [SIGNATURE]: signature, ...others } = part;
  return signature === NO_SIGNATURE ? others : part;
}

function said(role: Role, told: JsonObject[]): Message {
  return messageOf({ role, ...parts.bodyOf(told) });
}
