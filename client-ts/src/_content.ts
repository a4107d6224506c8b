/** The content of messages, JSON, base64 and data URLs, as all formats need them. */

import { isObject, parsed } from "./_values.ts";
import type { Json, JsonObject, Media, Message, Reasoning } from "./types.ts";

/** A part of a message as an API takes it: JSON is text for an API. */
export type Body = { text: string } | { media: Media };

const DATA_URL = /^data:([^;,]*)(?:;[^;,]*)*;base64,/;

/** Returns the content, then the parts in order, without reasoning and without empty texts. */
export function body(message: Message): Body[] {
  const parts: Body[] = (message.parts ?? []).flatMap<Body>((part) => {
    if (part.media) return [{ media: part.media }];
    if (part.json !== undefined) return [{ text: compact(part.json) }];
    return part.text ? [{ text: part.text }] : [];
  });
  return message.content ? [{ text: message.content }, ...parts] : parts;
}

/** Returns the reasoning of a message. */
export function reasoning(message: Message): Reasoning[] {
  return (message.parts ?? []).flatMap(({ reasoning: found }) => (found ? [found] : []));
}

/** Returns the object of a request, a response or an event: itself, JSON text, or its bytes. */
export function loaded(source: object | string | Uint8Array): JsonObject {
  const text = source instanceof Uint8Array ? new TextDecoder().decode(source) : source;
  const found = typeof text === "string" ? (JSON.parse(text) as Json) : (text as Json);
  if (isObject(found)) return found;
  throw new TypeError("a request, a response and an event are JSON objects: pass one of an API");
}

/** Returns a provider's item as a payload: its JSON in base64. */
export function payloadOf(item: Json): string {
  return base64Of(new TextEncoder().encode(JSON.stringify(item)));
}

/** Returns the item in the payload of a message, if its type is this one and it is JSON. */
export function itemOf(message: Message, payloadType: string): Json | undefined {
  if (message.payloadType !== payloadType) return undefined;
  const bytes = bytesOf(message.payload ?? "");
  return bytes && parsed(new TextDecoder().decode(bytes));
}

/** Returns the URI of a medium, or a data URL with its bytes. */
export function dataUrl(media: Media): string {
  return media.uri ?? `data:${media.mimeType ?? ""};base64,${media.data ?? ""}`;
}

/** Returns the medium of a URL: the bytes of a data URL, or the URL itself. */
export function mediaOf(url: string): Media {
  const [beginning = "", mimeType = ""] = DATA_URL.exec(url) ?? [];
  const data = url.slice(beginning.length);
  if (!beginning || !isBase64(data)) return { uri: url };
  const made: Media = { ...(mimeType && { mimeType }), data };
  // A URL with parameters, which the media type would lose, is kept as it is.
  return dataUrl(made) === url ? made : { uri: url };
}

/** Returns JSON text without white space and escapes. Numbers stay as they were written. */
export function compact(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|\s+/gs, (found) =>
    found.startsWith('"') ? JSON.stringify(JSON.parse(found)) : "",
  );
}

/** Returns whether a text is base64 as encoders write it, so that its bytes give the same text again. */
export function isBase64(text: string): boolean {
  try {
    return btoa(atob(text)) === text;
  } catch {
    return false;
  }
}

/** Returns bytes in base64. */
export function base64Of(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Returns the bytes of base64, or `undefined` if it is none. */
export function bytesOf(base64: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(base64.replaceAll("-", "+").replaceAll("_", "/")), (c) =>
      c.charCodeAt(0),
    );
  } catch {
    return undefined;
  }
}
