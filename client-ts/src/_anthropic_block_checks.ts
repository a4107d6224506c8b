/** The blocks of Anthropic's Messages API, and the rules of each block. */

import { type RuleName, violation } from "./_anthropic_rules.ts";
import { isBlank, isFilled, isObject, member, objectsOf, textOf } from "./_values.ts";
import type { Json, JsonObject, Violation } from "./types.ts";

export const CALL_ID = /^[a-zA-Z0-9_-]+$/;
export const NAME = /^[a-zA-Z0-9_-]{1,128}$/;
export const IMAGE_TYPES: readonly string[] = [
  "image/jpeg",
  "image/png",
  "image/gif",
  "image/webp",
];

const OF_MODEL = ["tool_use", "server_tool_use", "thinking", "redacted_thinking"];
const OF_USER = ["tool_result", "image", "document", "search_result", "container_upload"];
/** The member of a source that has the medium, by the type of the source. */
const SOURCES = new Map([
  ["base64", "data"],
  ["text", "data"],
  ["url", "url"],
  ["file", "file_id"],
  ["content", "content"],
]);
const DOCUMENT_TYPES = new Map([
  ["base64", "application/pdf"],
  ["text", "text/plain"],
]);

/** Returns content as blocks: a text is one block. */
export function blocksOf(content: Json | undefined): JsonObject[] {
  return typeof content === "string" ? [{ type: "text", text: content }] : objectsOf(content);
}

/** Returns whether the model goes on behind a block: the API's own tool has run, or is to run. */
export function isPaused(block: JsonObject | undefined): boolean {
  const kind = textOf(block?.type);
  return kind === "server_tool_use" || (kind.endsWith("_tool_result") && kind !== "tool_result");
}

export function isThinking(block: JsonObject | undefined): boolean {
  return block?.type === "thinking" || block?.type === "redacted_thinking";
}

/** Returns the rules that a block of a message breaks, apart from those on other blocks. */
export function blockViolations(path: string, role: string, block: JsonObject): Violation[] {
  const kind = textOf(block.type);
  const isAstray =
    (OF_MODEL.includes(kind) && role !== "assistant") ||
    (OF_USER.includes(kind) && role !== "user");
  return [...broken(isAstray, "block-role", path), ...contentViolations(path, block)];
}

function contentViolations(path: string, block: JsonObject): Violation[] {
  switch (block.type) {
    case "text":
      return checkText(path, block);
    case "tool_use":
      return checkCall(path, block);
    case "tool_result":
      return checkResult(path, block);
    case "image":
    case "document":
      return checkMedium(path, block);
    case "thinking":
      return broken(!isFilled(block.signature), "thinking-signed", path);
    case "redacted_thinking":
      return broken(!isFilled(block.data), "thinking-signed", path);
    default:
      return [];
  }
}

/** Returns the violation of a rule, if it is broken. */
export function broken(isBroken: boolean, rule: RuleName, path: string): Violation[] {
  return isBroken ? [violation(rule, path)] : [];
}

/** Checks a block of text. */
export function checkText(path: string, { text }: JsonObject): Violation[] {
  if (typeof text !== "string" || !text) return [violation("text-present", path)];
  return broken(isBlank(text), "text-not-blank", path);
}

function checkCall(path: string, block: JsonObject): Violation[] {
  return [
    ...broken(!CALL_ID.test(textOf(block.id)), "call-id", `${path}.id`),
    ...broken(!NAME.test(textOf(block.name)), "call-name", `${path}.name`),
    ...broken(!isObject(block.input), "call-input", `${path}.input`),
  ];
}

function checkResult(path: string, { content, is_error: isError }: JsonObject): Violation[] {
  const nested = objectsOf(content);
  const isAllText = isFilled(content) && nested.every((block) => block.type === "text");
  return [
    ...nested.flatMap((block, index) =>
      blockViolations(`${path}.content[${index}]`, "user", block),
    ),
    ...broken(isFilled(isError) && !isAllText, "error-result", path),
  ];
}

/** Checks the source of an image or a document. */
function checkMedium(blockPath: string, { type, source }: JsonObject): Violation[] {
  const path = `${blockPath}.source`;
  const kind = textOf(member(source, "type"));
  const name = SOURCES.get(kind);
  if (!name || !isFilled(member(source, name))) return [violation("source-present", path)];
  const mediaType = member(source, "media_type");
  if (type === "document")
    return broken(mediaType !== DOCUMENT_TYPES.get(kind), "document-type", path);
  return broken(kind === "base64" && !IMAGE_TYPES.includes(textOf(mediaType)), "image-type", path);
}
