/** Gives calls ids that an API accepts. */

import type { Message } from "./types.ts";

/** The ids of calls that an API accepts. No API accepts an empty one, or one for two calls. */
export interface IdRule {
  readonly maxLength: number;
  /** The whole id matches it. */
  readonly pattern: RegExp;
}

/**
 * Returns the id of each call of each message.
 *
 * A call keeps its id if the API accepts it and no earlier call has it. Otherwise the id is made from the
 * sequence of the message, or from its place in the series (from 1) if it is not stored, and from the index
 * of the call, so that it is the same in each window.
 */
export function callIds(messages: readonly Message[], rule: IdRule): string[][] {
  const taken = new Set(
    messages.flatMap(({ toolCalls = [] }) => toolCalls.map(({ id = "" }) => id)),
  );
  const used = new Set<string>();
  return messages.map(({ toolCalls = [], sequence }, place) =>
    toolCalls.map(({ id = "" }, index) => {
      const keeps = !used.has(id) && accepts(rule, id);
      const chosen = keeps ? id : made(numberOf(sequence) ?? `${place + 1}`, index, taken);
      taken.add(chosen);
      used.add(chosen);
      return chosen;
    }),
  );
}

function accepts(rule: IdRule, id: string): boolean {
  return [...id].length <= rule.maxLength && rule.pattern.test(id);
}

function numberOf(sequence: string | undefined): string | undefined {
  return sequence && sequence !== "0" ? sequence : undefined;
}

/** Returns an id that no call has. */
function made(number: string, index: number, taken: Set<string>): string {
  let id = `call_${number}_${index}`;
  while (taken.has(id)) id += "_";
  return id;
}
