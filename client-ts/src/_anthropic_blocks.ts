/** Messages as blocks of Anthropic's Messages API, and back. */

import { blocksOf, blockViolations, isThinking, NAME } from "./_anthropic_block_checks.ts";
import { blockOfMedia, mediaOfBlock } from "./_anthropic_media.ts";
import { type AnsweredCall, type Caller, NO_RESULT } from "./_arrange.ts";
import { compact, itemOf, payloadOf } from "./_content.ts";
import { acceptedName } from "./_names.ts";
import { argumentsObject } from "./_repair.ts";
import { sameCalls } from "./_turns.ts";
import {
  isBlank,
  isEqual,
  isFilled,
  isObject,
  member,
  messageOf,
  parsed,
  textOf,
} from "./_values.ts";
import type { JsonObject, Message, Part, Reasoning, ToolCall } from "./types.ts";

export const PROVIDER = "anthropic";
/** The `payloadType` of a message of this API. */
export const PAYLOAD_TYPE = "application/vnd.anthropic.content+json";
/** The member of a result's metadata that says whether the tool failed. */
const IS_ERROR = "is_error";

/** The blocks of a user that a JSON part may hold as they are, because no other part can. */
const USER_BLOCKS = ["image", "document", "search_result", "container_upload"];

export function textBlock(text: string): JsonObject {
  return { type: "text", text };
}

/** Returns the blocks of a message that is not the model's. */
export function said({ content = "", parts = [] }: Message): JsonObject[] {
  return [{ text: content }, ...parts].flatMap(blocksOfPart);
}

/** Returns the block of the results of a call. */
export function result({ call, results }: AnsweredCall): JsonObject {
  const made: JsonObject = { type: "tool_result", tool_use_id: call.id };
  if (!results.length) return { ...made, content: NO_RESULT };
  const content = results.flatMap(said);
  const [first] = content;
  if (!first) return made;
  const isFailed = results.some(({ metadata = "" }) => member(parsed(metadata), IS_ERROR) === true);
  return {
    ...made,
    content: content.length === 1 && first.type === "text" ? first.text! : content,
    ...(isFailed && content.every(isText) && { is_error: true }),
  };
}

/** Returns the blocks of a message of the model: those of its payload, if they still are its own. */
export function ofModel({ message, calls }: Caller): JsonObject[] {
  const kept = payloadBlocks(message);
  if (!kept)
    return fromFields(
      message,
      calls.map(({ call }) => call),
    );
  return withCalls(kept, new Map(calls.map(({ index, call }) => [index, call.id])));
}

/** Returns the message of an answer: all its text as content, and its blocks as payload. */
export function answer(blocks: JsonObject[]): Message {
  const { toolCalls, parts } = readBlocks(blocks, false);
  return withPayload(
    messageOf({ role: "ROLE_ASSISTANT", content: textIn(blocks) || null, toolCalls, parts }),
    blocks,
  );
}

/** Returns the message of a turn of the model, with its blocks as payload if its fields lack any of them. */
export function messageOfModel(blocks: JsonObject[]): Message {
  const isOneText = blocks.filter(isText).length === 1;
  const { toolCalls, parts } = readBlocks(blocks, !isOneText);
  const content = isOneText ? textIn(blocks) : null;
  const made = messageOf({ role: "ROLE_ASSISTANT", content, toolCalls, parts });
  return isEqual(fromFields(made, toolCalls), blocks) ? made : withPayload(made, blocks);
}

/** Returns the reasoning of a block. Thinking whose text the API does not show is in the payload only. */
export function reasoningOf({ type, thinking, signature, data }: JsonObject): Part | undefined {
  if (type === "thinking" && typeof thinking === "string" && thinking) {
    return {
      reasoning: {
        text: thinking,
        ...(typeof signature === "string" && signature && { signature }),
      },
    };
  }
  return type === "redacted_thinking" && typeof data === "string" && data
    ? { reasoning: { opaque: data } }
    : undefined;
}

/** Returns the content and the parts of blocks that are not the model's. */
export function bodyOf(blocks: JsonObject[]): { content: string | null; parts: Part[] } {
  const parts = blocks.map(withoutCache).map(partOf);
  const [first, ...others] = parts;
  return first?.text !== undefined && !others.length
    ? { content: first.text, parts: [] }
    : { content: null, parts };
}

/** Returns a block without its breakpoint of the prompt cache. */
export function withoutCache({ cache_control: _, ...block }: JsonObject): JsonObject {
  return block;
}

/** Returns the message of a result, also of the marker for a call without a result. */
export function resultMessage(block: JsonObject): Message {
  const { content } = block;
  return messageOf({
    role: "ROLE_TOOL",
    ...(typeof content === "string" ? { content } : bodyOf(blocksOf(content))),
    toolCallId: textOf(block.tool_use_id),
    metadata: block.is_error === true ? JSON.stringify({ [IS_ERROR]: true }) : null,
  });
}

export function isText(block: JsonObject): boolean {
  return block.type === "text";
}

export function isCall(block: JsonObject): boolean {
  return block.type === "tool_use";
}

/** Returns the block of a part. Blank texts, reasoning and media of other types have none. */
function blocksOfPart(part: Part): JsonObject[] {
  const block = blockOfPart(part);
  return block && !(typeof block.text === "string" && isBlank(block.text)) ? [block] : [];
}

function blockOfPart({ text, media, json }: Part): JsonObject | undefined {
  if (media) return blockOfMedia(media);
  if (json === undefined) return text === undefined ? undefined : textBlock(text);
  const block = parsed(json);
  const isUsers =
    isObject(block) && USER_BLOCKS.includes(textOf(block.type)) && isSound("user", block);
  return isUsers ? block : textBlock(compact(json));
}

function partOf(block: JsonObject): Part {
  const { type, text, ...others } = block;
  if (type === "text" && typeof text === "string" && !isFilled(others)) return { text };
  const media = mediaOfBlock(block);
  return media ? { media } : { json: JSON.stringify(block) };
}

function readCall({ id, name, input }: JsonObject): Required<ToolCall> {
  return { id: textOf(id), name: textOf(name), arguments: JSON.stringify(input ?? {}) };
}

function callBlock({ id = "", name = "", arguments: text = "" }: ToolCall): JsonObject {
  return {
    type: "tool_use",
    id,
    name: NAME.test(name) ? name : acceptedName(name),
    input: argumentsObject(text),
  };
}

/** Returns the calls and the reasoning of blocks, and perhaps their texts as parts. */
function readBlocks(blocks: JsonObject[], withTexts: boolean) {
  const partsOf = (block: JsonObject) =>
    withTexts && isText(block) ? { text: textOf(block.text) } : reasoningOf(block);
  return {
    toolCalls: blocks.filter(isCall).map(readCall),
    parts: blocks.map(partsOf).filter((part) => part !== undefined),
  };
}

function withPayload(message: Message, blocks: JsonObject[]): Message {
  return { ...message, payload: payloadOf(blocks), payloadType: PAYLOAD_TYPE };
}

function textIn(blocks: JsonObject[]): string {
  return blocks
    .filter(isText)
    .map(({ text }) => textOf(text))
    .join("");
}

/** Returns the blocks that the fields of a message make: reasoning before the content, parts, calls. */
function fromFields(message: Message, calls: readonly ToolCall[]): JsonObject[] {
  const { content = "", parts = [] } = message;
  const rest = parts.findIndex(({ reasoning }) => !reasoning);
  const first = rest < 0 ? parts.length : rest;
  const told = [...parts.slice(0, first), { text: content }, ...parts.slice(first)];
  return [...told.flatMap((part) => modelBlocks(part, isOwn(message))), ...calls.map(callBlock)];
}

/** Returns the block of a part of the model. Media have none. */
function modelBlocks(part: Part, isOwn: boolean): JsonObject[] {
  if (part.reasoning) return isOwn ? thinkingBlocks(part.reasoning) : [];
  return blocksOfPart(part).filter(isText);
}

/** Returns whether a model of Anthropic made a message. Anthropic refuses the reasoning of others. */
function isOwn({ provider = "", model = "" }: Message): boolean {
  if (!provider && !model) return true;
  return provider.toLowerCase().includes(PROVIDER) || model.toLowerCase().includes("claude");
}

/** Returns the block of reasoning that Anthropic has signed or encrypted. */
function thinkingBlocks({ text = "", opaque = "", signature = "" }: Reasoning): JsonObject[] {
  if (opaque && !text) return [{ type: "redacted_thinking", data: opaque }];
  return signature && !opaque ? [{ type: "thinking", thinking: text, signature }] : [];
}

/** Returns the blocks in the payload of a message, if their text and calls are those of its fields. */
function payloadBlocks(message: Message): JsonObject[] | undefined {
  const found = itemOf(message, PAYLOAD_TYPE);
  if (!Array.isArray(found) || !found.every(isModels)) return undefined;
  const told = answer(found);
  const isSame =
    (told.content ?? "") === textIn(said(message)) && sameCalls(told, message);
  const sent = found.filter(isSent).map(withoutCache);
  return isSame && sent.every((block) => isSound("assistant", { ...block, id: "x" }))
    ? sent
    : undefined;
}

function isModels(block: unknown): block is JsonObject {
  return (
    isObject(block) &&
    typeof block.type === "string" &&
    ![...USER_BLOCKS, "tool_result"].includes(block.type)
  );
}

function isSound(role: string, block: JsonObject): boolean {
  return !blockViolations("", role, block).length;
}

/** Returns whether the API takes a block back: not an empty text, nor thinking without its signature. */
function isSent(block: JsonObject): boolean {
  if (isText(block)) return !isBlank(textOf(block.text));
  return !isThinking(block) || isFilled(block.signature) || isFilled(block.data);
}

/** Returns the blocks of a payload, with the calls that are kept, by their index, and their ids. */
function withCalls(blocks: JsonObject[], ids: Map<number, string>): JsonObject[] {
  let index = -1;
  return blocks.flatMap((block) => {
    if (!isCall(block)) return [block];
    index += 1;
    const id = ids.get(index);
    return id === undefined ? [] : [{ ...block, id }];
  });
}
