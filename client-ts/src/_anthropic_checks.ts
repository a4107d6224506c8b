/** Checks a request against the rules of Anthropic's Messages API. */

import {
  blocksOf,
  blockViolations,
  broken,
  checkText,
  isPaused,
  isThinking,
} from "./_anthropic_block_checks.ts";
import { violation } from "./_anthropic_rules.ts";
import { loaded } from "./_content.ts";
import { isFilled, member, objectsOf, pairwise, textOf, trimEnd } from "./_values.ts";
import type { Json, JsonObject, Violation } from "./types.ts";

const MOST_MESSAGES = 100_000;
const MOST_BREAKPOINTS = 4;
const ROLES = ["user", "assistant", "system"];

/** A message of a request: its place, its role, and its content as blocks. */
interface Turn {
  readonly path: string;
  readonly role: string;
  readonly blocks: JsonObject[];
}

/** A block and its place. */
type Placed = readonly [path: string, block: JsonObject];

export interface CheckOptions {
  /** Whether the model continues a last message of its own. Models from Claude 4.6 on refuse that. */
  prefill?: boolean;
}

/** Returns the rules of the API that a request, or the part of it that `toRequest` makes, breaks. */
export function violations(
  request: object | string | Uint8Array,
  options: CheckOptions = {},
): Violation[] {
  const told = loaded(request);
  const turns = objectsOf(told.messages).map(turnOf);
  return [
    ...checkConversation(turns),
    ...checkSystem(told.system),
    ...checkEnd(turns, options.prefill ?? false),
    ...turns.flatMap((turn) =>
      placesOf(turn).flatMap(([path, block]) => blockViolations(path, turn.role, block)),
    ),
    ...checkCalls(turns),
    ...checkCache(told, turns),
    ...(member(told.thinking, "type") === "enabled" ? checkThinkingFirst(turns) : []),
  ];
}

function turnOf(message: JsonObject, index: number): Turn {
  return {
    path: `messages[${index}]`,
    role: textOf(message.role),
    blocks: blocksOf(message.content),
  };
}

function placesOf({ path, blocks }: Turn): Placed[] {
  return blocks.map((block, index) => [`${path}.content[${index}]`, block]);
}

function placesOfType(turn: Turn, kind: string): Placed[] {
  return placesOf(turn).filter(([, block]) => block.type === kind);
}

/** Checks the number of messages, and the order of their roles. */
function checkConversation(turns: Turn[]): Violation[] {
  const [first] = turns;
  if (!first) return [violation("messages-present", "messages")];
  return [
    ...broken(turns.length > MOST_MESSAGES, "message-limit", "messages"),
    ...broken(first.role !== "user", "first-is-user", first.path),
    ...turns.flatMap((turn) => [
      ...broken(!ROLES.includes(turn.role), "known-role", turn.path),
      ...broken(
        !turn.blocks.length && !(turn === turns.at(-1) && isModels(turn)),
        "content-present",
        turn.path,
      ),
    ]),
    ...pairwise(turns).flatMap(([before, turn]) => checkOrder(before, turn)),
  ];
}

/** Checks the roles of two messages in a row. */
function checkOrder(before: Turn, turn: Turn): Violation[] {
  if (before.role === turn.role) return [violation("alternating-roles", turn.path)];
  if (turn.role === "system" && before.role !== "user" && !isPaused(before.blocks.at(-1))) {
    return [violation("system-place", turn.path)];
  }
  return broken(before.role === "system" && !isModels(turn), "system-place", before.path);
}

function isModels({ role }: Turn): boolean {
  return role === "assistant";
}

function checkSystem(system: Json | undefined): Violation[] {
  return blocksOf(system).flatMap((block, index) => {
    const path = `system[${index}]`;
    return block.type === "text" ? checkText(path, block) : [violation("system-text", path)];
  });
}

/** Checks the last message, and the last block of each message of the model. */
function checkEnd(turns: Turn[], prefill: boolean): Violation[] {
  const thinkingLast = turns.flatMap((turn) => {
    const path = `${turn.path}.content[${turn.blocks.length - 1}]`;
    return broken(isModels(turn) && isThinking(turn.blocks.at(-1)), "thinking-not-last", path);
  });
  const turn = turns.at(-1);
  if (!turn || !isModels(turn)) return thinkingLast;
  const last = turn.blocks.at(-1);
  const text = textOf(last?.text);
  return [
    ...thinkingLast,
    ...broken(!prefill && !isPaused(last), "no-prefill", turn.path),
    ...broken(last?.type === "text" && text !== trimEnd(text), "no-trailing-space", turn.path),
  ];
}

/** Checks that each call has its own id, and exactly one result, directly behind its message. */
function checkCalls(turns: Turn[]): Violation[] {
  const seen = new Set<string>();
  return turns.flatMap((turn, index) => {
    const after = turns[index + 1];
    const results = new Set(
      after && placesOfType(after, "tool_result").map(([, block]) => textOf(block.tool_use_id)),
    );
    const calls = placesOfType(turn, "tool_use").flatMap(([path, block]) => {
      const id = textOf(block.id);
      const isSeen = seen.has(id);
      seen.add(id);
      return [
        ...broken(isSeen, "unique-call-id", `${path}.id`),
        ...broken(!results.has(id), "call-answered", path),
      ];
    });
    return [...calls, ...checkResults(turns[index - 1], turn), ...checkPlaces(turn)];
  });
}

/** Checks that each result of a message belongs to a call of the message before it. */
function checkResults(before: Turn | undefined, turn: Turn): Violation[] {
  const calls = new Set(
    before && placesOfType(before, "tool_use").map(([, block]) => textOf(block.id)),
  );
  const answered = new Set<string>();
  return placesOfType(turn, "tool_result").flatMap(([path, block]) => {
    const id = textOf(block.tool_use_id);
    const isAnswered = answered.has(id);
    answered.add(id);
    if (!calls.has(id)) return [violation("result-of-call", path)];
    return broken(isAnswered, "one-result", path);
  });
}

/** Checks that results are the first blocks of a message, and calls the last. */
function checkPlaces(turn: Turn): Violation[] {
  return pairwise(placesOf(turn)).flatMap(([[, before], [path, block]]) => [
    ...broken(block.type === "tool_result" && before.type !== "tool_result", "results-first", path),
    ...broken(before.type === "tool_use" && block.type !== "tool_use", "calls-last", path),
  ]);
}

/** Checks the breakpoints of the prompt cache. */
function checkCache(told: JsonObject, turns: Turn[]): Violation[] {
  const prompts = blocksOf(told.system).map((block, index): Placed => [`system[${index}]`, block]);
  const marked = [...prompts, ...turns.flatMap(placesOf)].filter(([, block]) =>
    isFilled(block.cache_control),
  );
  const tools = objectsOf(told.tools).filter((tool) => isFilled(tool.cache_control));
  const last = marked.at(-1)?.[0] ?? "tools";
  return [
    ...marked.flatMap(([path, block]) =>
      broken(isThinking(block) || block.text === "", "cache-place", path),
    ),
    ...broken(marked.length + tools.length > MOST_BREAKPOINTS, "cache-limit", last),
  ];
}

/** Checks that the last message of the model with calls begins with thinking, if the model's turn is open. */
function checkThinkingFirst(turns: Turn[]): Violation[] {
  const place = turns.findLastIndex((turn) => placesOfType(turn, "tool_use").length > 0);
  const calling = turns[place];
  const after = turns.slice(place + 1);
  const isOpen =
    after.length === 1 && after[0]!.blocks.every((block) => block.type === "tool_result");
  if (!calling || !isOpen) return [];
  return broken(!isThinking(calling.blocks[0]), "thinking-first", `${calling.path}.content[0]`);
}
