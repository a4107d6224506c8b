/** Media as parts of Gemini's contents, and back. */

import { isBase64, mediaOf } from "./_content.ts";
import { mimeTypeOf } from "./_mime_types.ts";
import { isEqual, member, textOf } from "./_values.ts";
import type { JsonObject, Media, Part } from "./types.ts";

/** Returns the medium of a part, or `undefined` if it would not make the same part again. */
export function mediumPart(part: JsonObject): Part | undefined {
  const media = readMedium(part);
  return media && isEqual(partOfMedia(media), part) ? { media } : undefined;
}

function readMedium({ inlineData, fileData }: JsonObject): Media | undefined {
  const [mimeType, data] = [member(inlineData, "mimeType"), member(inlineData, "data")];
  if (typeof mimeType === "string" && typeof data === "string") {
    return isBase64(data) ? { mimeType, data } : undefined;
  }
  const [type, uri] = [textOf(member(fileData, "mimeType")), member(fileData, "fileUri")];
  return typeof uri === "string" ? { ...(type && { mimeType: type }), uri } : undefined;
}

/** Returns the part of a medium. Bytes without a type have none. */
export function partOfMedia(medium: Media): JsonObject | undefined {
  const {
    mimeType = "",
    uri,
    data,
  } = medium.uri?.startsWith("data:") ? mediaOf(medium.uri) : medium;
  if (uri !== undefined) {
    const type = mimeType || mimeTypeOf(uri);
    return { fileData: { ...(type && !type.includes("*") && { mimeType: type }), fileUri: uri } };
  }
  return data && mimeType.includes("/") ? { inlineData: { mimeType, data } } : undefined;
}
