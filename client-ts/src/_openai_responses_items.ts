/** Messages as the items of `input` in OpenAI's Responses API, and back. */

import { type Body, body, dataUrl, itemOf, mediaOf, payloadOf } from "./_content.ts";
import { acceptedName } from "./_names.ts";
import { ROLES, roleOf } from "./_openai_roles.ts";
import { comparable, isEqual, isFilled, isObject, member, messageOf, objectsOf, textOf } from "./_values.ts";
import type { Json, JsonObject, Message, Part, ToolCall } from "./types.ts";

/** The `payloadType` of an item of this API, or of the list of items of an answer. */
export const PAYLOAD_TYPE = "application/vnd.openai.response-item+json";
export const REASONING = "reasoning";
export const OUTPUT_SUFFIX = "_output";
/** The types of calls whose result is text, and the member with the text of the model. */
export const TEXT_CALLS = new Map([
  ["function_call", "arguments"],
  ["custom_tool_call", "input"],
]);
/** The types of calls that the caller answers, and the member that says what is called. */
export const CALLS = new Map([
  ...TEXT_CALLS,
  ["computer_call", "action"],
  ["shell_call", "action"],
  ["apply_patch_call", "operation"],
]);
/** The text between two texts of an answer in `content`. */
export const SEPARATOR = "\n\n";

const INPUT = ["input_text", "input_image", "input_file"];
const OUTPUT = ["output_text", "refusal"];

/** Returns the type of an item. A message may have none. */
export function typeOf(item: JsonObject | undefined): string {
  return textOf(item?.type) || "message";
}

export function isCall(item: JsonObject): boolean {
  return CALLS.has(typeOf(item));
}

export function isReasoning(item: JsonObject | undefined): boolean {
  return typeOf(item) === REASONING;
}

/** Returns whether the model makes such items: its messages, calls, reasoning, and all tools of the API. */
export function isModels(item: JsonObject): boolean {
  return typeOf(item) === "message" ? item.role === "assistant" : !isResult(item);
}

/** Returns whether an item is the result of a call that the caller answers. */
export function isResult(item: JsonObject): boolean {
  return callTypeOf(item) !== undefined;
}

/** Returns the type of the call that a result answers. */
export function callTypeOf(item: JsonObject): string | undefined {
  const kind = typeOf(item);
  const call = kind.slice(0, -OUTPUT_SUFFIX.length);
  return kind.endsWith(OUTPUT_SUFFIX) && CALLS.has(call) ? call : undefined;
}

/** Returns the message of the items of an answer, without payload. */
export function readAnswer(items: readonly JsonObject[]): Message {
  const texts = textsOf(items);
  return messageOf({
    role: "ROLE_ASSISTANT",
    content: texts.length ? texts.join(SEPARATOR) : null,
    toolCalls: items.filter(isCall).map(readCall),
    parts: items.filter(isReasoning).flatMap(readReasoning),
  });
}

/** Returns the message of the model's items in a request, with the items as payload if they are more. */
export function readGroup(items: JsonObject[]): Message {
  const texts = textsOf(items);
  const { content, ...others } = readAnswer(items);
  const parts = [...(others.parts ?? []), ...texts.map((text) => ({ text }))];
  const message = messageOf(texts.length > 1 ? { ...others, parts } : { content, ...others });
  return isEqual(writtenAnswer(message), items) ? message : withPayload(message, items);
}

/** Returns the message of a caller's item, with the item as payload if the fields do not give it back. */
export function readItem(item: JsonObject): Message {
  const message = readFields(item);
  const made = message.role === "ROLE_TOOL" ? writtenOutput([message]) : writtenMessage(message);
  return isEqual(made, item) ? message : withPayload(message, item);
}

/** Returns the texts of the model's messages: its answers and refusals. */
export function textsOf(items: readonly JsonObject[]): string[] {
  return items
    .filter((item) => typeOf(item) === "message")
    .flatMap(({ content }) =>
      typeof content === "string"
        ? [content]
        : objectsOf(content).map(({ text, refusal }) => textOf(text) || textOf(refusal)),
    )
    .filter(Boolean);
}

/** Returns the call of an item. */
export function readCall(item: JsonObject): Required<ToolCall> {
  const kind = typeOf(item);
  const told = item[CALLS.get(kind) ?? ""] ?? "";
  return {
    id: textOf(item.call_id),
    name: textOf(item.name) || kind.replace(/_call$/, ""),
    arguments: typeof told === "string" ? told : JSON.stringify(told),
  };
}

/** Returns the reasoning of an item as a part, if there is any. */
export function readReasoning(item: JsonObject): Part[] {
  const blocks = [...objectsOf(item.summary), ...objectsOf(item.content)];
  const text = blocks.map((block) => textOf(block.text)).join(SEPARATOR);
  const opaque = textOf(item.encrypted_content);
  return text || opaque
    ? [{ reasoning: { ...(text && { text }), ...(opaque && { opaque }) } }]
    : [];
}

/** Returns the items in the payload of a message of the model, if they agree with the fields. */
export function ownAnswer(message: Message): JsonObject[] | undefined {
  const found = itemOf(message, PAYLOAD_TYPE);
  const items = isObject(found) ? [found] : found;
  if (message.role !== "ROLE_ASSISTANT" || !Array.isArray(items)) return undefined;
  if (!items.every((item): item is JsonObject => isObject(item) && isModels(item) && isSound(item)))
    return undefined;
  return isEqual(told(readAnswer(items)), told(message))
    ? items.filter((item) => typeOf(item) !== "message" || isFilled(item.content))
    : undefined;
}

/** Returns the item in the payload of another message, if it agrees with the fields. */
export function ownItem(message: Message): JsonObject | undefined {
  const item = itemOf(message, PAYLOAD_TYPE);
  try {
    if (!isObject(item)) return undefined;
    const { role, content, parts } = readFields(item);
    const isSame =
      role === message.role &&
      content === message.content &&
      isEqual(comparable(parts), comparable(message.parts));
    const text = role === "ROLE_TOOL" ? textOutput(item) : item.content;
    return isSame && hasParts(text, INPUT) ? item : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the output of a result if it is that of a call with text. Others are objects of any form. */
function textOutput(item: JsonObject): Json | undefined {
  return TEXT_CALLS.has(callTypeOf(item) ?? "") ? item.output : undefined;
}

/** Returns whether content is text, a list of parts of these types, or absent. */
function hasParts(content: Json | undefined, kinds: readonly string[]): boolean {
  if (!Array.isArray(content)) return isText(content);
  return content.every((part) => kinds.includes(textOf(member(part, "type"))));
}

/** Returns whether an item of the model has what the API wants of it, by the types of its members. */
function isSound(item: JsonObject): boolean {
  const { type, id, summary, content } = item;
  const kind = typeOf(item);
  if (!isText(type) || !isText(id)) return false;
  if (kind === "message") return hasParts(content, OUTPUT);
  if (kind === REASONING) return typeof id === "string" && Array.isArray(summary);
  const input = TEXT_CALLS.get(kind);
  return !input || [item.name, item[input]].every((text) => typeof text === "string");
}

function isText(value: Json | undefined): boolean {
  return typeof (value ?? "") === "string";
}

function withPayload(message: Message, item: Json): Message {
  return { ...message, payload: payloadOf(item), payloadType: PAYLOAD_TYPE };
}

function told(message: Message): unknown[] {
  const texts = textPartsOf(message).join(SEPARATOR);
  const calls = (message.toolCalls ?? []).map(({ id = "", name = "", arguments: text = "" }) => [
    id,
    name,
    text,
  ]);
  return [texts, calls, comparable((message.parts ?? []).filter(({ media }) => media))];
}

function textPartsOf(message: Message): string[] {
  return body(message).flatMap((part) => ("text" in part ? [part.text] : []));
}

function readFields(item: JsonObject): Message {
  if (isResult(item)) {
    const toolCallId = textOf(item.call_id);
    return messageOf({ role: "ROLE_TOOL", toolCallId, ...readContent(item.output) });
  }
  const role = ROLES.get(item.role);
  if (!role || item.content === undefined)
    throw new TypeError("an item of input is none of this API");
  return messageOf({ role, ...readContent(item.content) });
}

function readContent(content: Json | undefined): { content: string | null; parts: Part[] } {
  if (typeof content === "string" || (content ?? null) === null) {
    return { content: (content as string | null | undefined) ?? null, parts: [] };
  }
  return { content: null, parts: (Array.isArray(content) ? content : [content!]).map(readPart) };
}

/** Returns a part. One that the contract has no field for is JSON. */
function readPart(part: Json): Part {
  const [type, text] = [member(part, "type"), member(part, "text")];
  if ((type === "input_text" || type === "output_text") && typeof text === "string")
    return { text };
  const url = { input_image: member(part, "image_url"), input_file: member(part, "file_data") }[
    textOf(type)
  ];
  return typeof url === "string" ? { media: mediaOf(url) } : { json: JSON.stringify(part) };
}

/**
 * Returns the items of a message of the model by its fields: its text, then its calls.
 *
 * Reasoning needs its id, which only a payload has.
 */
export function writtenAnswer(message: Message): JsonObject[] {
  return [...writtenTexts(textPartsOf(message)), ...(message.toolCalls ?? []).map(writtenCall)];
}

function writtenTexts(texts: string[]): JsonObject[] {
  const [first, ...others] = texts;
  if (first === undefined) return [];
  if (!others.length) return [{ role: "assistant", content: first }];
  return [
    {
      role: "assistant",
      content: texts.map((text) => ({ type: "output_text", text, annotations: [] })),
    },
  ];
}

/** Returns the item of a call. */
export function writtenCall({ id = "", name = "", arguments: text = "" }: ToolCall): JsonObject {
  return { type: "function_call", call_id: id, name: acceptedName(name), arguments: text };
}

/** Returns the item of a message of the user or the application. Only the user's has media. */
export function writtenMessage(message: Message): JsonObject {
  const parts = body(message).filter((part) => message.role === "ROLE_USER" || "text" in part);
  return { role: roleOf(message), content: writtenContent(message, parts) };
}

/** Returns the item of the results of a call. */
export function writtenOutput(results: readonly Message[]): JsonObject {
  const parts = results.flatMap(body);
  const [first, ...others] = results;
  const isOne = first && !others.length;
  const content = isOne ? writtenContent(first, parts) : parts.map(writtenPart);
  return {
    type: "function_call_output",
    call_id: first?.toolCallId ?? "",
    output: content.length ? content : "",
  };
}

/** Returns the media that the role of a message does not take, as parts of a user's message. */
export function refusedMedia(message: Message): JsonObject[] {
  if (message.role === "ROLE_USER" || message.role === "ROLE_TOOL") return [];
  return body(message).flatMap((part) => ("media" in part ? [writtenPart(part)] : []));
}

function writtenContent(
  { content = "", parts = [] }: Message,
  taken: Body[],
): string | JsonObject[] {
  return parts.every(({ reasoning }) => reasoning) ? content : taken.map(writtenPart);
}

function writtenPart(part: Body): JsonObject {
  if ("text" in part) return { type: "input_text", text: part.text };
  const { mimeType = "", uri } = part.media;
  if (mimeType.startsWith("image/") || (uri !== undefined && !mimeType)) {
    return { type: "input_image", image_url: dataUrl(part.media), detail: "auto" };
  }
  if (uri !== undefined) return { type: "input_file", file_url: uri };
  return { type: "input_file", filename: "file", file_data: dataUrl(part.media) };
}
