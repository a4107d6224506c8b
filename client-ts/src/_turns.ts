/** The turns of a request to an API that wants those of users and of the model to alternate. */

import { argumentsObject } from "./_repair.ts";
import { isEqual } from "./_values.ts";
import type { JsonObject, Message } from "./types.ts";

/** The user's message before a first message of the model, which the API refuses as the first. */
export const BEGINNING = "[beginning of the conversation]";
/** The user's message behind a last message of the model, which the API refuses as the last. */
export const CONTINUE = "[continue]";

/** A message of a request: the blocks, or parts, of one role. */
export interface Turn {
  readonly role: string;
  readonly blocks: JsonObject[];
}

/** Returns whether a message is a prompt of the application. */
export function isPrompt({ role }: Message): boolean {
  return role === "ROLE_SYSTEM" || role === "ROLE_DEVELOPER";
}

/** Returns turns without empty ones, and with consecutive turns of one role joined. */
export function joined(turns: readonly Turn[]): Turn[] {
  const filled = turns.filter((turn) => turn.blocks.length);
  return runs(filled, ({ role }) => role).map((run) => ({
    role: run[0]!.role,
    blocks: run.flatMap((turn) => turn.blocks),
  }));
}

/** Returns the rows of consecutive items with one key. */
export function runs<T>(items: readonly T[], keyOf: (item: T) => unknown): T[][] {
  const found: T[][] = [];
  for (const item of items) {
    const run = found.at(-1);
    if (run && keyOf(run[0]!) === keyOf(item)) run.push(item);
    else found.push([item]);
  }
  return found;
}

/** Returns whether two messages have the same calls, with arguments that are the same object. */
export function sameCalls(one: Message, other: Message): boolean {
  return isEqual(comparableCalls(one), comparableCalls(other));
}

function comparableCalls({ toolCalls = [] }: Message): unknown[] {
  return toolCalls.map(({ id = "", name = "", arguments: text = "" }) => [
    id,
    name,
    argumentsObject(text),
  ]);
}
