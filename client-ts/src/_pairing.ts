/** Pairs tool results with their calls, as the server does. */

import type { Message } from "./types.ts";

/** The places of the results of a call in the series, in order. */
type Results = number[];

/**
 * Returns, for each message and each of its calls, the places of the call's results.
 *
 * A result belongs to the nearest earlier call of its id that has no result yet, else to the nearest of that
 * id. Without an id it belongs to the nearest earlier message with calls: to its first call that has no
 * result, else to its last. A result without its call is in no list.
 */
export function pair(messages: readonly Message[]): Results[][] {
  const nearest = new Map<string, Results>();
  const openCalls = new Map<string, Results[]>(); // by id, the nearest last
  let newest: Results[] = [];
  let firstOpen = 0; // of the newest: those before it have results
  return messages.map(({ role, toolCallId, toolCalls = [] }, place) => {
    const own: Results[] = toolCalls.map(() => []);
    if (role === "ROLE_TOOL") {
      if (!toolCallId) while (firstOpen < newest.length - 1 && newest[firstOpen]!.length) firstOpen++;
      const results = toolCallId
        ? (nearestOpen(openCalls.get(toolCallId) ?? []) ?? nearest.get(toolCallId))
        : newest[firstOpen];
      if (!results) return own; // a window has neither such a result nor its calls
      results.push(place);
    }
    // Of two calls of one message with one id, the first is the nearest.
    for (const [index, { id = "" }] of [...toolCalls.entries()].reverse()) {
      nearest.set(id, own[index]!);
      if (!openCalls.get(id)?.push(own[index]!)) openCalls.set(id, [own[index]!]);
    }
    if (own.length) [newest, firstOpen] = [own, 0];
    return own;
  });
}

/** Returns the last call without a result, and removes those behind it: each is looked at once. */
function nearestOpen(calls: Results[]): Results | undefined {
  while (calls.at(-1)?.length) calls.pop();
  return calls.at(-1);
}
