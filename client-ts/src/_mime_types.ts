/** The types of media of which a message has only the URI. */

const BY_ENDING = new Map([
  ["gif", "image/gif"],
  ["jpeg", "image/jpeg"],
  ["jpg", "image/jpeg"],
  ["pdf", "application/pdf"],
  ["png", "image/png"],
  ["webp", "image/webp"],
]);
const URI = /^(?:[a-z][a-z0-9+.-]*:)?(?:\/\/[^/?#]*)?([^?#]*)/i;

/** Returns the type that the ending of a URI says; empty if it says none. */
export function mimeTypeOf(uri: string): string {
  const path = URI.exec(uri)?.[1] ?? "";
  return BY_ENDING.get(path.slice(path.lastIndexOf(".") + 1).toLowerCase()) ?? "";
}
