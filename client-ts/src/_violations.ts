/** The rules of an API, and the violations of them. */

import type { Violation } from "./types.ts";

/** Returns a function that makes the violation of a rule at a path. */
export function rule(name: string, text: string, source: string): (path: string) => Violation {
  return (path) => ({ rule: name, path, text, source });
}
