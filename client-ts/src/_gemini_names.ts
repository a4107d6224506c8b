/** The names in Gemini's JSON, which the API has in two forms: `usageMetadata` and `usage_metadata`. */

import { isObject } from "./_values.ts";
import type { Json, JsonObject } from "./types.ts";

/** The members whose values are the caller's own JSON. */
const AS_THEY_ARE = ["args", "response", "partMetadata", "structValue"];

/** Returns an object with names like `usageMetadata`, and without members that are null. */
export function camel(told: JsonObject): JsonObject {
  const named = Object.entries(told)
    .filter(([, value]) => value !== null)
    .map(
      ([name, value]) =>
        [name.replace(/_[a-z]/g, (found) => found[1]!.toUpperCase()), value] as const,
    );
  return Object.fromEntries(
    named.map(([name, value]) => [name, AS_THEY_ARE.includes(name) ? value : camelValue(value)]),
  );
}

function camelValue(value: Json): Json {
  if (Array.isArray(value)) return value.map(camelValue);
  return isObject(value) ? camel(value) : value;
}
