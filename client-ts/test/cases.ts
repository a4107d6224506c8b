import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import type { History, Message } from "../src/types.ts";

/**
 * A case for all languages. With `messages` or `history` and `request`, it is one of `toRequest`; with
 * `response`, one of `fromResponse`, and perhaps of a stream of the same answer; with `violations`, one of
 * the validator.
 */
export interface Case {
  about: string;
  messages?: Message[];
  history?: History;
  options?: object;
  /** The options of the validator. */
  rules?: object;
  request?: object;
  /** The messages that `fromRequest` makes of the request. */
  back?: Message[];
  response?: object;
  stream?: object[];
  violations?: { rule: string; path: string }[];
}

const FOLDER =
  process.env.SESSION_HISTORY_CASES ??
  fileURLToPath(new URL("../../../tests/formats/cases", import.meta.url));

/** Returns the cases of a format by their names. */
export function casesOf(format: string): Map<string, Case> {
  const folder = `${FOLDER}/${format}`;
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return new Map(
    names.map((name) => [name, JSON.parse(readFileSync(`${folder}/${name}`, "utf8")) as Case]),
  );
}
