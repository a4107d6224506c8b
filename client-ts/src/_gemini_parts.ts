/** Messages as parts of Gemini's contents, and back. */

import { type AnsweredCall, type Caller, NO_RESULT } from "./_arrange.ts";
import { compact, itemOf, payloadOf } from "./_content.ts";
import {
  CALL,
  DATA,
  NAME,
  partsOf,
  partViolations,
  RESPONSE,
  SIGNATURE,
} from "./_gemini_checks.ts";
import { mediumPart, partOfMedia } from "./_gemini_media.ts";
import { camel } from "./_gemini_names.ts";
import { acceptedName } from "./_names.ts";
import { argumentsObject } from "./_repair.ts";
import { runs, sameCalls } from "./_turns.ts";
import { isEqual, isFilled, isObject, member, messageOf, parsed, textOf } from "./_values.ts";
import type { Json, JsonObject, Message, Part, Reasoning, ToolCall } from "./types.ts";

export const PROVIDER = "google";
/** The `payloadType` of a message of this API. */
export const PAYLOAD_TYPE = "application/vnd.google.content+json";
/** The signature that Google documents for a call that no model of Gemini's has signed. */
export const NO_SIGNATURE = "skip_thought_signature_validator";

/** The member of a result's metadata that says whether the tool failed. */
const IS_ERROR = "is_error";

/** Returns the parts of a message that is not the model's. */
export function said({ content = "", parts = [] }: Message): JsonObject[] {
  return [{ text: content }, ...parts].flatMap(partsOfPart);
}

/** Returns the part of the results of a call. */
export function response({ call, results }: AnsweredCall, stored: ToolCall): JsonObject {
  const made = { name: sentName(call.name), response: responseOf(results) };
  return { [RESPONSE]: { ...idOf(call, stored), ...made } };
}

/** Returns the parts of a message of the model: those of its payload, if they still are its own. */
export function ofModel({ message, calls }: Caller): JsonObject[] {
  const stored = message.toolCalls ?? [];
  const kept = payloadParts(message);
  if (kept)
    return withCalls(
      kept,
      new Map(calls.map(({ call, index }) => [index, idOf(call, stored[index]!)])),
    );
  return [
    ...fromFields(message),
    ...calls.map(({ call, index }) => callPart(call, stored[index]!)),
  ];
}

/**
 * Returns the message of an answer: all its text as content, and its parts as payload.
 *
 * An answer with media has no payload if its fields have all of it, because media are large.
 */
export function answer(parts: JsonObject[]): Message {
  const made = messageOf({ ...readParts(parts, false), content: textIn(parts) || null });
  const hasMedia = made.parts?.some(({ media }) => media);
  return hasMedia && isEqual(again(made), parts) ? made : withPayload(made, parts);
}

/** Returns the message of a content of the model, with it as payload if its fields lack some of it. */
export function messageOfModel(parts: JsonObject[]): Message {
  const isOneText = parts.filter(isText).length === 1;
  const content = isOneText ? textIn(parts) : null;
  const made = messageOf({ ...readParts(parts, !isOneText), content });
  return isEqual(again(made), parts) ? made : withPayload(made, parts);
}

/** Returns the parts in the payload of a message, if their text and calls are those of its fields. */
function payloadParts(message: Message): JsonObject[] | undefined {
  const item = itemOf(message, PAYLOAD_TYPE);
  const found = isObject(item) ? partsOf(camel(item)) : [];
  if (!found.length || !found.every(isTyped)) return undefined;
  const told = answer(found);
  const isSame =
    (told.content ?? "") === textIn(said(message)) && sameCalls(told, message);
  const sent = found.filter((part) => part.text !== "" || isFilled(part[SIGNATURE]));
  return isSame && sent.every((part) => isSound("model", part)) ? sent : undefined;
}

/** Returns the content and the parts of a message that is not the model's. */
export function bodyOf(told: JsonObject[]): { content: string | null; parts: Part[] } {
  const parts = told.map((part) => mediumPart(part) ?? asStored(part));
  const [first, ...others] = parts;
  return first?.text !== undefined && !others.length
    ? { content: first.text, parts: [] }
    : { content: null, parts };
}

/** Returns the message of a response. */
export function resultMessage(value: JsonObject): Message {
  return messageOf({
    role: "ROLE_TOOL",
    toolCallId: textOf(value.id),
    ...readResponse(value.response),
  });
}

function readResponse(told: Json | undefined): Message {
  if (told === undefined || told === null) return {};
  const [output, error] = [member(told, "output"), member(told, "error")];
  if (Object.keys(told).length === 1) {
    if (typeof output === "string") return { content: output };
    if (typeof error === "string")
      return { content: error, metadata: JSON.stringify({ [IS_ERROR]: true }) };
    if (areTexts(output)) return { parts: output.map((text) => ({ text })) };
  }
  return { parts: [{ json: JSON.stringify(told) }] };
}

function areTexts(values: Json | undefined): values is string[] {
  return (
    Array.isArray(values) &&
    values.length > 1 &&
    values.every((value) => typeof value === "string" && value)
  );
}

/** Returns whether a part is text of the answer, not a thought. */
export function isText(part: JsonObject): boolean {
  return typeof part.text === "string" && !isFilled(part.thought);
}

/** Returns the reasoning of consecutive thoughts as a part. */
export function reasoningOf(thoughts: readonly JsonObject[]): Part | undefined {
  const text = thoughts.map((part) => textOf(part.text)).join("");
  const signature = thoughts.map((part) => textOf(part[SIGNATURE])).find(Boolean);
  return text ? { reasoning: { text, ...(signature && { signature }) } } : undefined;
}

/** Returns the call of a part. */
export function callOf({ id, name, args }: JsonObject): Required<ToolCall> {
  return {
    id: textOf(id),
    name: textOf(name),
    arguments: JSON.stringify(isFilled(args) ? args : {}),
  };
}

/** Returns the part of a text, a medium or JSON. Empty ones, and media without a type, have none. */
function partsOfPart({ text, media, json }: Part): JsonObject[] {
  const medium = media && partOfMedia(media);
  if (media) return medium ? [medium] : [];
  if (json === undefined) return text ? [{ text }] : [];
  const value = parsed(json);
  // With a range of a video, for example, which no other part can hold.
  const isMedium = isObject(value) && ("inlineData" in value || "fileData" in value);
  return [isMedium && isSound("user", value) ? value : { text: compact(json) }];
}

/** Returns whether what a part has is of the type that the API names: text, or else an object. */
function isTyped(part: JsonObject): boolean {
  const [id, name] = [member(part[CALL], "id"), member(part[CALL], "name")];
  return (
    DATA.every((kind) => {
      const value = part[kind];
      return value === undefined || (kind === "text" ? typeof value === "string" : isObject(value));
    }) && [id, name].every((text) => typeof (text ?? "") === "string")
  );
}

function isSound(role: string, part: JsonObject): boolean {
  return !partViolations("", role, part).length;
}

/** Returns a part of a user that is no medium: JSON is a part as it is. */
function asStored(part: JsonObject): Part {
  const { text, ...others } = part;
  return typeof text === "string" && !isFilled(others) ? { text } : { json: JSON.stringify(part) };
}

/** Returns the object of the results of a call: their texts, or the JSON of the only one. */
function responseOf(results: readonly Message[]): JsonObject {
  if (!results.length) return { output: NO_RESULT };
  const own = objectOf(results);
  if (own && !isEqual(Object.keys(own), ["output"]) && !isEqual(Object.keys(own), ["error"]))
    return own;
  const texts = results
    .flatMap(said)
    .flatMap(({ text }) => (typeof text === "string" ? [text] : []));
  const [first, ...others] = texts;
  if (first === undefined) return { output: "" };
  if (others.length) return { output: texts };
  const isError = results.some(({ metadata = "" }) => member(parsed(metadata), IS_ERROR) === true);
  return { [isError ? "error" : "output"]: first };
}

/** Returns the object of the only result that is an object of JSON and nothing else. */
function objectOf([result, ...others]: readonly Message[]): JsonObject | undefined {
  const [part, ...rest] = result?.parts ?? [];
  if (others.length || rest.length || result?.content !== undefined) return undefined;
  const value = part?.json === undefined ? undefined : parsed(part.json);
  return isObject(value) ? value : undefined;
}

/** Returns a name that the API accepts. */
function sentName(name: string): string {
  if (NAME.test(name)) return name;
  const made = acceptedName(name);
  return NAME.test(made) ? made : `_${made}`.slice(0, 64);
}

/** Returns the id of a call, if the stored call has one: some versions of the API have none. */
function idOf(call: ToolCall, stored: ToolCall): JsonObject {
  return stored.id ? { id: call.id ?? "" } : {};
}

function callPart(call: ToolCall, stored: ToolCall): JsonObject {
  const { name = "", arguments: text = "" } = call;
  return { [CALL]: { ...idOf(call, stored), name: sentName(name), args: argumentsObject(text) } };
}

/** Returns the parts of a message's fields, without its calls: reasoning, content, parts. */
function fromFields(message: Message): JsonObject[] {
  const { content = "", parts = [] } = message;
  const rest = parts.findIndex(({ reasoning }) => !reasoning);
  const first = rest < 0 ? parts.length : rest;
  const told = [...parts.slice(0, first), { text: content }, ...parts.slice(first)];
  return told.flatMap((part) =>
    part.reasoning ? thought(part.reasoning, message) : partsOfPart(part),
  );
}

/** Returns the parts that the fields of a message make, with its calls. */
function again(message: Message): JsonObject[] {
  return [...fromFields(message), ...(message.toolCalls ?? []).map((call) => callPart(call, call))];
}

/** Returns the part of a thought that Gemini has signed. Gemini refuses the signatures of others. */
function thought(
  { text, opaque, signature }: Reasoning,
  { provider = "", model = "" }: Message,
): JsonObject[] {
  const names = `${provider} ${model}`.toLowerCase();
  const isOwn = !names.trim() || names.includes("google") || names.includes("gemini");
  const isSent = isOwn && text && signature && !opaque;
  return isSent ? [{ text, thought: true, [SIGNATURE]: signature }] : [];
}

/** Returns a message with the calls, the thoughts and the media of parts, and perhaps their texts. */
function readParts(parts: JsonObject[], withTexts: boolean): Message {
  const read = (part: JsonObject) =>
    withTexts && isText(part) ? { text: textOf(part.text) } : mediumPart(part);
  const stored = runs(parts, (part) => isFilled(part.thought)).flatMap((run) =>
    isFilled(run[0]!.thought) ? [reasoningOf(run)] : run.map(read),
  );
  return {
    role: "ROLE_ASSISTANT",
    toolCalls: parts
      .map((part) => part[CALL])
      .filter(isObject)
      .map(callOf),
    parts: stored.filter((part) => part !== undefined),
  };
}

function withPayload(message: Message, parts: JsonObject[]): Message {
  return { ...message, payload: payloadOf({ role: "model", parts }), payloadType: PAYLOAD_TYPE };
}

function textIn(parts: JsonObject[]): string {
  return parts
    .filter(isText)
    .map(({ text }) => textOf(text))
    .join("");
}

/** Returns the parts of a payload, with the calls that are kept, by their index, and their ids. */
function withCalls(parts: JsonObject[], ids: ReadonlyMap<number, JsonObject>): JsonObject[] {
  let index = -1;
  return parts.flatMap((part) => {
    const call = part[CALL];
    if (!isObject(call)) return [part];
    index += 1;
    const id = ids.get(index);
    return id ? [{ ...part, [CALL]: { ...call, ...id } }] : [];
  });
}
