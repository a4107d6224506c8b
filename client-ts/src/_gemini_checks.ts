/** Checks a request against the rules of Gemini's `generateContent`. */

import { loaded } from "./_content.ts";
import { camel } from "./_gemini_names.ts";
import { type RuleName, violation } from "./_gemini_rules.ts";
import { isEqual, isFilled, isObject, member, objectsOf, textOf } from "./_values.ts";
import type { Json, JsonObject, Violation } from "./types.ts";

export const NAME = /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$/;
export const CALL = "functionCall";
export const RESPONSE = "functionResponse";
export const SIGNATURE = "thoughtSignature";

/** The members of a part of which it has exactly one. */
export const DATA = [
  "text",
  "inlineData",
  "fileData",
  CALL,
  RESPONSE,
  "executableCode",
  "codeExecutionResult",
  "toolCall",
  "toolResponse",
];
const RESPONSE_ROLES = ["user", "function"];

/** A content of a request: its place, its role and its parts. */
interface Content {
  readonly path: string;
  readonly role: string;
  readonly parts: JsonObject[];
}

export interface CheckOptions {
  /** Whether the model wants signatures of calls, as models from Gemini 3 on do. Default true. */
  signatures?: boolean;
}

/** Returns the rules of the API that a request, or the part of it that `toRequest` makes, breaks. */
export function violations(
  request: object | string | Uint8Array,
  options: CheckOptions = {},
): Violation[] {
  const told = camel(loaded(request));
  const contents = objectsOf(told.contents).map((one, index) => ({
    path: `contents[${index}]`,
    role: textOf(one.role),
    parts: partsOf(one),
  }));
  return [
    ...checkSystem(told),
    ...checkOrder(contents),
    ...contents.flatMap(({ path, role, parts }) =>
      parts.flatMap((part, index) => partViolations(`${path}.parts[${index}]`, role, part)),
    ),
    ...contents.flatMap((content, index) =>
      checkCalls(contents[index - 1], content, contents[index + 1]),
    ),
    ...(options.signatures === false ? [] : contents.flatMap(checkSignature)),
  ];
}

/** Returns the parts of a content. */
export function partsOf(content: Json | undefined): JsonObject[] {
  return objectsOf(member(content, "parts"));
}

/** Returns the rules that a part breaks, apart from those on other parts. */
export function partViolations(path: string, role: string, part: JsonObject): Violation[] {
  const [kind, ...others] = DATA.filter((name) => name in part);
  if (!kind || others.length) return [violation("part-data", path)];
  const value = part[kind];
  switch (kind) {
    case "text":
      return broken(!isFilled(value) && !isFilled(part[SIGNATURE]), "text-present", path);
    case "inlineData":
      return broken(
        !isFilled(member(value, "mimeType")) || !isFilled(member(value, "data")),
        "blob-data",
        path,
      );
    case "fileData":
      return broken(!isFilled(member(value, "fileUri")), "file-uri", path);
    case CALL:
    case RESPONSE:
      return checkFunction(path, role, kind, value);
    default:
      return [];
  }
}

function broken(isBroken: boolean, rule: RuleName, path: string): Violation[] {
  return isBroken ? [violation(rule, path)] : [];
}

function checkSystem(told: JsonObject): Violation[] {
  return partsOf(told.systemInstruction).flatMap((part, index) => {
    const path = `systemInstruction.parts[${index}]`;
    if (!("text" in part)) return [violation("system-text", path)];
    return broken(!isFilled(part.text), "text-present", path);
  });
}

/** Checks the roles of the contents, and that each has parts. */
function checkOrder(contents: Content[]): Violation[] {
  const [first, last] = [contents.at(0), contents.at(-1)];
  if (!first || !last) return [violation("contents-present", "contents")];
  return [
    ...broken(first.role === "model", "first-is-user", first.path),
    ...broken(last.role === "model", "last-is-user", last.path),
    ...contents.flatMap(({ path, role, parts }) => [
      ...broken(![...RESPONSE_ROLES, "model"].includes(role), "known-role", path),
      ...broken(!parts.length, "parts-present", path),
    ]),
  ];
}

/** Checks a call or a response. */
function checkFunction(
  path: string,
  role: string,
  kind: string,
  value: Json | undefined,
): Violation[] {
  const isCall = kind === CALL;
  const hasArguments = isObject(member(value, "args") ?? {});
  return [
    ...broken(isCall !== (role === "model"), "call-role", path),
    ...broken(!NAME.test(textOf(member(value, "name"))), "function-name", `${path}.${kind}.name`),
    ...broken(isCall && !hasArguments, "call-arguments", `${path}.${kind}.args`),
    ...broken(
      !isCall && !isObject(member(value, "response")),
      "response-object",
      `${path}.${kind}.response`,
    ),
  ];
}

/** Checks that the content behind calls has their responses, and nothing else. */
function checkCalls(
  before: Content | undefined,
  content: Content,
  after: Content | undefined,
): Violation[] {
  const [calls, responses] = [valuesOf(content, CALL), valuesOf(after, RESPONSE)];
  const own = valuesOf(content, RESPONSE);
  const isCalling = calls.length > 0;
  const isCounted = calls.length === responses.length;
  return [
    ...broken(
      isCalling && !RESPONSE_ROLES.includes(before?.role ?? ""),
      "call-place",
      content.path,
    ),
    ...broken(isCalling && !isCounted, "responses-count", content.path),
    ...broken(
      isCalling && isCounted && !isEqual(named(calls), named(responses)),
      "response-of-call",
      after?.path ?? "",
    ),
    ...broken(own.length > 0 && !valuesOf(before, CALL).length, "responses-follow", content.path),
    ...broken(
      own.length > 0 && own.length !== content.parts.length,
      "responses-alone",
      content.path,
    ),
  ];
}

function valuesOf(content: Content | undefined, name: string): JsonObject[] {
  return content ? content.parts.map((part) => part[name]).filter(isObject) : [];
}

/** Returns ids and names in an order of their own. */
function named(values: JsonObject[]): string[] {
  return values.map(({ id, name }) => JSON.stringify([textOf(id), textOf(name)])).sort();
}

/** Checks that the first call of a content has a signature. */
function checkSignature({ path, parts }: Content): Violation[] {
  const index = parts.findIndex((part) => CALL in part);
  return broken(
    index >= 0 && !isFilled(parts[index]![SIGNATURE]),
    "call-signature",
    `${path}.parts[${index}]`,
  );
}
