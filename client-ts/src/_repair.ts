/** Repairs the JSON of arguments whose stream broke. */

import { isBlank, isObject, parsed } from "./_values.ts";
import type { Json, JsonObject } from "./types.ts";

const EMPTY_OBJECT = "{}";
/** The member that holds a text of arguments that is no JSON object, for APIs that want an object. */
export const ARGUMENTS_KEY = "arguments";

const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},]|"/gs;
const HALF_ESCAPE = /(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2})?)$/;

export function isJson(text: string): boolean {
  return parsed(text) !== undefined;
}

/**
 * Returns JSON from the beginning of a JSON text; `{}` if the text cannot be repaired.
 *
 * Closes the string, arrays and objects that are open at the end. If that is no JSON, for example because a
 * name has no value yet, drops the member that is not complete.
 */
export function repaired(text: string): string {
  if (isJson(text)) return text;
  const whole = scan(text);
  const shorter = text.slice(0, whole.completeUntil);
  return [closed(text, whole), closed(shorter, scan(shorter))].find(isJson) ?? EMPTY_OBJECT;
}

/**
 * Returns arguments as a JSON object, for APIs that want one.
 *
 * A text that is no JSON object is repaired. If nothing of it is left, the object has it as its only member.
 */
export function argumentsObject(text: string): JsonObject {
  const found = parsed(repaired(text));
  const keepsSomething = isObject(found) && Object.keys(found).length > 0;
  const isWhole = keepsSomething || isBlank(text) || isJson(text);
  if (isObject(found) && isWhole && isFiniteValue(found)) return found;
  return { [ARGUMENTS_KEY]: text };
}

/** What a beginning of JSON leaves open. */
interface Open {
  /** The marks that close its arrays and objects, the outermost first. */
  readonly closers: string[];
  readonly inString: boolean;
  /** The end of the last part that is complete: before a comma, or behind an opening mark. */
  readonly completeUntil: number;
}

function scan(text: string): Open {
  const closers: string[] = [];
  let completeUntil = 0;
  for (const { 0: mark, index } of text.matchAll(TOKEN)) {
    if (mark === '"') return { closers, inString: true, completeUntil };
    if (mark === "{" || mark === "[") {
      closers.push(mark === "{" ? "}" : "]");
      completeUntil = index + 1;
    } else if (mark === ",") {
      completeUntil = index;
    } else if (mark === "}" || mark === "]") {
      closers.pop();
    }
  }
  return { closers, inString: false, completeUntil };
}

function closed(text: string, { closers, inString }: Open): string {
  const end = inString ? `${withoutHalfEscape(text)}"` : text;
  return end + closers.toReversed().join("");
}

/** Returns whether a value can be sent as JSON: `1e999` is read as a number that JSON lacks. */
function isFiniteValue(value: Json): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  return value === null || typeof value !== "object" || Object.values(value).every(isFiniteValue);
}

function withoutHalfEscape(text: string): string {
  const match = HALF_ESCAPE.exec(text.slice(-16));
  return match ? text.slice(0, text.length - match[1]!.length) : text;
}
