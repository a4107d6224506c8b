/** Values of JSON and of messages: making and comparing them. */

import type { Json, JsonObject, Message, Part } from "./types.ts";

type Fields = { [Name in keyof Message]: Message[Name] | null | undefined };

/** Returns the value of a JSON text, or `undefined` if the text is no JSON. */
export function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Returns a message without the fields that have no value. An empty `content` is a value. */
export function messageOf(fields: Fields): Message {
  const kept = Object.entries(fields).filter(
    ([name, value]) => isFilled(value) || (name === "content" && value === ""),
  );
  return Object.fromEntries(kept) as Message;
}

/** Returns whether a value is present and not empty. */
export function isFilled(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return !!value;
  return Object.keys(value).length > 0;
}

/** Returns a text, or an empty one in place of any other value. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Returns whether two JSON values are equal. The order of an object's members does not matter. */
export function isEqual(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null)
    return false;
  const [names, otherNames] = [Object.keys(one), Object.keys(other)];
  return (
    Array.isArray(one) === Array.isArray(other) &&
    names.length === otherNames.length &&
    names.every(
      (name) =>
        Object.hasOwn(other, name) &&
        isEqual((one as Record<string, unknown>)[name], (other as Record<string, unknown>)[name]),
    )
  );
}

/** Returns the parts of a message in a form that can be compared: absent fields have their default values. */
export function comparable(parts: readonly Part[] = []): unknown[] {
  return parts.map(({ text, media, json, reasoning }) => {
    if (media) return { mimeType: "", ...media };
    if (reasoning) return { text: "", opaque: "", signature: "", ...reasoning };
    return json === undefined ? { text } : { value: parsed(json) };
  });
}

/** Returns the member of an object, or `undefined` if the value is no object or has no such member. */
export function member(value: unknown, name: string): Json | undefined {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** Returns the objects of a list; none if the value is no list. */
export function objectsOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** Returns the objects of a list of any request. An item that is no object becomes an empty one. */
export function placedObjectsOf(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.map((one) => (isObject(one) ? one : {})) : [];
}

/** Returns each two neighbours of a list. */
export function pairwise<T>(items: readonly T[]): [T, T][] {
  return items.slice(1).map((item, index) => [items[index]!, item]);
}

/** White space as Python knows it: an API may see it otherwise, but all languages leave out the same. */
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** Returns whether a text is white space only, or empty. */
export function isBlank(text: string): boolean {
  return !trimEnd(text);
}

/** Returns a text without white space at its end. */
export function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && SPACE.test(text[end - 1]!)) end -= 1;
  return text.slice(0, end);
}
