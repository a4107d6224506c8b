/** Images and documents as blocks of Anthropic's Messages API, and back. */

import { IMAGE_TYPES } from "./_anthropic_block_checks.ts";
import { base64Of, bytesOf, isBase64, mediaOf } from "./_content.ts";
import { mimeTypeOf } from "./_mime_types.ts";
import { isBlank, isEqual, member, textOf } from "./_values.ts";
import type { Json, JsonObject, Media } from "./types.ts";

/** The type of an image of which a request has only the URL. */
export const ANY_IMAGE = "image/*";

const PDF = "application/pdf";
const PLAIN = "text/plain";

/** Returns the block of a medium, or `undefined` if the API takes none of its type. */
export function blockOfMedia(medium: Media): JsonObject | undefined {
  const media = medium.uri?.startsWith("data:") ? mediaOf(medium.uri) : medium;
  const mimeType = media.mimeType?.toLowerCase() || mimeTypeOf(media.uri ?? "");
  const source =
    media.uri === undefined ? sourceOfData(mimeType, media.data) : sourceOfUrl(mimeType, media.uri);
  return source && { type: mimeType.startsWith("image/") ? "image" : "document", source };
}

/** Returns the medium of a block, or `undefined` if it would not make the same block again. */
export function mediaOfBlock(block: JsonObject): Media | undefined {
  if (block.type !== "image" && block.type !== "document") return undefined;
  const made = readSource(block.type, block.source);
  return made && isEqual(blockOfMedia(made), block) ? made : undefined;
}

function sourceOfData(mimeType: string, data: string | undefined): JsonObject | undefined {
  if (!data) return undefined;
  if (mimeType === PDF || IMAGE_TYPES.includes(mimeType)) {
    return { type: "base64", media_type: mimeType, data };
  }
  const text =
    mimeType === PLAIN ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytesOf(data)) : "";
  return isBlank(text) ? undefined : { type: "text", media_type: PLAIN, data: text };
}

function sourceOfUrl(mimeType: string, uri: string): JsonObject | undefined {
  const isTaken = [...IMAGE_TYPES, ANY_IMAGE, PDF].includes(mimeType) && /^https?:\/\//.test(uri);
  return isTaken ? { type: "url", url: uri } : undefined;
}

function readSource(kind: "image" | "document", source: Json | undefined): Media | undefined {
  const [mimeType, data, uri] = ["media_type", "data", "url"].map((name) =>
    textOf(member(source, name)),
  );
  switch (member(source, "type")) {
    case "base64":
      return isBase64(data!) ? { mimeType: mimeType!, data: data! } : undefined;
    case "text":
      return { mimeType: mimeType!, data: base64Of(new TextEncoder().encode(data)) };
    case "url":
      return { mimeType: kind === "image" ? ANY_IMAGE : PDF, uri: uri! };
    default:
      return undefined;
  }
}
