/** Messages as the items of `messages` in OpenAI's Chat Completions API, and back. */

import { type Body, body, dataUrl, isBase64, itemOf, mediaOf, payloadOf } from "./_content.ts";
import { acceptedName } from "./_names.ts";
import { checkContent } from "./_openai_chat_rules.ts";
import { ROLES, roleOf } from "./_openai_roles.ts";
import { comparable, isEqual, isFilled, isObject, member, messageOf, objectsOf, textOf } from "./_values.ts";
import type { Json, JsonObject, Media, Message, Part, ToolCall } from "./types.ts";

/** The `payloadType` of a message of this API. */
export const PAYLOAD_TYPE = "application/vnd.openai.chat-message+json";
/** The members with the text of reasoning, which servers compatible with the API have. */
export const REASONING_KEYS = ["reasoning_content", "reasoning"] as const;

const AUDIO_FORMATS = new Map([
  ["audio/wav", "wav"],
  ["audio/mpeg", "mp3"],
]);
const AUDIO_TYPES = new Map([...AUDIO_FORMATS].map(([mimeType, format]) => [format, mimeType]));

/** Returns the message of an item, without payload, or throws if it is no item of this API. */
export function read(item: JsonObject): Message {
  const role = ROLES.get(item.role === "function" ? "tool" : item.role);
  if (!role) throw new TypeError("an item of messages has no role of this API");
  const { content, parts } = readContent(item);
  return messageOf({
    role,
    content,
    name: textOf(item.name),
    toolCalls: readCalls(item),
    toolCallId: textOf(item.tool_call_id),
    parts: [...readReasoning(item), ...parts],
  });
}

/** Returns the message of an item, with the item as its payload if the fields do not give it back. */
export function readWithPayload(item: JsonObject): Message {
  const message = read(item);
  if (isEqual(written(message), item)) return message;
  return { ...message, payload: payloadOf(item), payloadType: PAYLOAD_TYPE };
}

/** Returns the item of a message by its fields. Media that the role does not take are left out. */
export function written(message: Message): JsonObject {
  const item: JsonObject = { role: roleOf(message) };
  if (message.role === "ROLE_TOOL") item.tool_call_id = message.toolCallId ?? "";
  else if (message.name) item.name = acceptedName(message.name);
  item.content = writtenContent(message);
  if (message.toolCalls?.length) item.tool_calls = message.toolCalls.map(writtenCall);
  return item;
}

/** Returns the item of a call, with a name that the API accepts. */
export function writtenCall(call: ToolCall) {
  return rawCall({ ...call, name: acceptedName(call.name ?? "") });
}

/** Returns the item of a call of a function as the API writes it. */
export function rawCall({ id = "", name = "", arguments: text = "" }: ToolCall) {
  return { id, type: "function", function: { name, arguments: text } };
}

/** Returns the item in a message's payload, as the API accepts it, if it agrees with the fields. */
export function ownItem(message: Message): JsonObject | undefined {
  const item = itemOf(message, PAYLOAD_TYPE);
  try {
    if (!isObject(item) || item.role !== roleOf(message)) return undefined;
    if (!isEqual(told(read(item)), told(message))) return undefined;
    const taken = takenBack(item);
    return checkContent(taken, "").length ? undefined : taken;
  } catch {
    return undefined;
  }
}

/** Returns the texts of several messages as parts of one. */
export function textsAsParts(messages: readonly Message[]): JsonObject[] {
  return messages.flatMap(body).flatMap((part) => ("text" in part ? [writtenPart(part)] : []));
}

/** Returns the media that the role of a message does not take, as parts of a user's message. */
export function refusedMedia(message: Message): JsonObject[] {
  if (message.role === "ROLE_USER") return [];
  return body(message).flatMap((part) => ("media" in part ? [writtenPart(part)] : []));
}

function told({ content, parts, toolCalls = [], toolCallId = "", name = "" }: Message): unknown[] {
  return [content ?? null, comparable(parts), toolCalls.map(writtenFully), toolCallId, name];
}

function writtenFully({ id = "", name = "", arguments: text = "" }: ToolCall): string[] {
  return [id, name, text];
}

/** Returns an item without the members of its answers that the API refuses in a request. */
function takenBack(item: JsonObject): JsonObject {
  const taken = { ...item };
  if (!isFilled(taken.tool_calls)) delete taken.tool_calls;
  if (isObject(item.audio)) taken.audio = { id: item.audio.id ?? null };
  if (typeof item.name === "string") taken.name = acceptedName(item.name);
  return taken;
}

function readContent(item: JsonObject): { content: string | null; parts: Part[] } {
  if (Array.isArray(item.content)) return { content: null, parts: item.content.map(readPart) };
  const transcript = isObject(item.audio) ? item.audio.transcript : null;
  const content = item.content ?? (item.refusal || transcript) ?? null;
  if (content === null || typeof content === "string") return { content, parts: [] };
  throw new TypeError("content must be text or a list of parts");
}

/** Returns a part. One that the contract has no field for is JSON. */
function readPart(part: Json): Part {
  if (!isObject(part)) throw new TypeError("a part of content must be an object");
  return readKnownPart(part) ?? { json: JSON.stringify(part) };
}

function readKnownPart(part: JsonObject): Part | undefined {
  const { type, image_url: image, input_audio: audio, file } = part;
  const text = type === "text" || type === "refusal" ? part[type] : undefined;
  if (typeof text === "string") return { text };
  if (type === "image_url" && isObject(image) && typeof image.url === "string")
    return { media: mediaOf(image.url) };
  if (type === "input_audio" && isObject(audio)) return readAudio(audio);
  if (type === "file" && isObject(file) && typeof file.file_data === "string")
    return { media: mediaOf(file.file_data) };
  return undefined;
}

function readAudio({ data, format }: JsonObject): Part | undefined {
  const mimeType = AUDIO_TYPES.get(textOf(format));
  return mimeType && typeof data === "string" && isBase64(data)
    ? { media: { mimeType, data } }
    : undefined;
}

function readCalls(item: JsonObject): ToolCall[] {
  const calls = objectsOf(item.tool_calls).map((call) =>
    call.type === "custom"
      ? readCall(call.id, call.custom, "input")
      : readCall(call.id, call.function),
  );
  return item.function_call ? [...calls, readCall("", item.function_call)] : calls;
}

function readCall(id: Json | undefined, named: Json | undefined, input = "arguments"): ToolCall {
  return {
    id: textOf(id),
    name: textOf(member(named, "name")),
    arguments: textOf(member(named, input)),
  };
}

function readReasoning(item: JsonObject): Part[] {
  const text = REASONING_KEYS.map((key) => textOf(item[key])).find(Boolean);
  return text ? [{ reasoning: { text } }] : [];
}

function writtenContent(message: Message): string | JsonObject[] | null {
  const { role, content, parts = [] } = message;
  if (parts.every(({ reasoning }) => reasoning)) {
    return content ?? (role === "ROLE_ASSISTANT" ? null : "");
  }
  const accepted = body(message).filter((part) => role === "ROLE_USER" || "text" in part);
  if (accepted.length) return accepted.map(writtenPart);
  return role === "ROLE_ASSISTANT" ? null : "";
}

function writtenPart(part: Body): JsonObject {
  return "text" in part ? { type: "text", text: part.text } : writtenMedium(part.media);
}

/** Returns an image, a sound or a file. A link to anything but an image is text, which the API takes. */
function writtenMedium(media: Media): JsonObject {
  const { mimeType = "", uri, data = "" } = media;
  const format = AUDIO_FORMATS.get(mimeType);
  if (uri === undefined && format) return { type: "input_audio", input_audio: { data, format } };
  if (mimeType.startsWith("image/") || (uri !== undefined && !mimeType)) {
    return { type: "image_url", image_url: { url: dataUrl(media) } };
  }
  if (uri !== undefined) return { type: "text", text: uri };
  return { type: "file", file: { filename: "file", file_data: dataUrl(media) } };
}
