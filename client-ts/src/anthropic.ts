/**
 * Anthropic's Messages API: `system` and `messages` of a request, and answers.
 *
 * - System and developer prompts at the beginning become `system`. A later one becomes text of the user's turn
 *   at its place, or a message of the role `system` with `systemMessages`.
 * - Consecutive messages of one role are joined into one turn. Calls are the last blocks of a turn, and their
 *   results the first blocks of the next one.
 * - The API refuses blank texts, media of types that it does not know, and reasoning without a signature. They
 *   are left out, and so are the names of speakers.
 * - If the first turn would be the model's, a user's turn with `BEGINNING` stands before it, and if the last
 *   would be, one with `CONTINUE` follows it, unless `prefill` is set or the answer has only paused while
 *   Anthropic runs a tool (`pause_turn`). `fromRequest` leaves both out.
 */

import * as blocks from "./_anthropic_blocks.ts";
import { blocksOf, CALL_ID, isPaused, isThinking } from "./_anthropic_block_checks.ts";
import { statusOf, usageOf } from "./_anthropic_stream.ts";
import { Conversation, settled } from "./_anthropic_turns.ts";
import { arrange, messagesOf } from "./_arrange.ts";
import { loaded } from "./_content.ts";
import { BEGINNING, CONTINUE, type Turn } from "./_turns.ts";
import { isEqual, messageOf, objectsOf, textOf, trimEnd } from "./_values.ts";
import type { History, JsonObject, Message, Unanswered } from "./types.ts";

export { PAYLOAD_TYPE } from "./_anthropic_blocks.ts";
export { type CheckOptions, violations } from "./_anthropic_checks.ts";
export { StreamReader } from "./_anthropic_stream.ts";
export { BEGINNING, CONTINUE } from "./_turns.ts";

/** A message of a request, if you name no type of your client of the API. */
type AnyTurn = { role: string; content: JsonObject[] };

/** The part of a request that the conversation fills. */
export interface Request<Turn = AnyTurn, Prompt = JsonObject> {
  system?: Prompt[];
  messages: Turn[];
}

export interface Options {
  /** How to convert a tool call without a result, which the API refuses. Default MARKER. */
  unanswered?: Unanswered;
  /**
   * Whether to set breakpoints of the prompt cache: at the end of the system prompt, of the pinned messages
   * and the summary with which the history begins, and of the newest message.
   */
  cache?: boolean;
  /** Whether the model continues a last message of its own. Models from Claude 4.6 on refuse that. */
  prefill?: boolean;
  /** Whether the model takes messages of the role `system`, as Claude Opus 4.8 does. */
  systemMessages?: boolean;
}

const IDS = { maxLength: 8_192, pattern: CALL_ID };

/**
 * Returns `system` and `messages` of a request, from a history or from messages in stored order.
 *
 * @typeParam Turn The type of a message in your client of the API: `Anthropic.MessageParam`.
 * @typeParam Prompt That of a block of the system prompt: `Anthropic.TextBlockParam`.
 */
export function toRequest<Turn = AnyTurn, Prompt = JsonObject>(
  messages: History | Iterable<Message>,
  options: Options = {},
): Request<Turn, Prompt> {
  const source = Symbol.iterator in messages ? [...messages] : messages;
  const kept = keptOf(source);
  const told = new Conversation(options.systemMessages ?? false);
  for (const step of arrange(source, IDS, options.unanswered)) {
    told.add(step, "said" in step && kept.includes(step.said));
  }
  const turns = settled(told.turns);
  if (options.cache) mark(told, turns);
  const sent = completed(turns, options.prefill ?? false).map(turnSent);
  return {
    ...(told.system.length && { system: told.system as Prompt[] }),
    messages: sent as Turn[],
  };
}

/** Returns the messages of a request. A message of the model has its blocks as payload if it needs them. */
export function fromRequest(request: object | string | Uint8Array): Message[] {
  const { system, messages } = loaded(request);
  const turns = objectsOf(messages).map(({ role, content }) => ({
    role: textOf(role),
    blocks: blocksOf(content),
  }));
  if (isFiller(turns.at(0), BEGINNING)) turns.shift();
  if (isFiller(turns.at(-1), CONTINUE)) turns.pop();
  return [...blocksOf(system).map(promptOf), ...turns.flatMap(messagesOfTurn)];
}

/** Returns the message of a response, with its blocks as payload, or throws if the response is an error. */
export function fromResponse(response: object | string | Uint8Array): Message[] {
  const { type, error, content, model, usage, stop_reason: finishReason } = loaded(response);
  if (type === "error" || error)
    throw new TypeError("the response is an error: there is no message to store");
  return [
    messageOf({
      ...blocks.answer(blocksOf(content)),
      status: statusOf(textOf(finishReason)),
      provider: blocks.PROVIDER,
      model: textOf(model),
      usage: usageOf(usage),
      finishReason: textOf(finishReason),
    }),
  ];
}

/** Returns the messages with which each history of the session begins: pins and the summary. */
function keptOf(source: History | Message[]): Message[] {
  const summary = "summary" in source ? source.summary?.throughSequence : undefined;
  const messages = messagesOf(source);
  const end = messages.findIndex(
    ({ pinned, sequence }) => !pinned && (summary === undefined || sequence !== summary),
  );
  return end < 0 ? messages : messages.slice(0, end);
}

/** Sets the breakpoints of the prompt cache. */
function mark(told: Conversation, turns: Turn[]): void {
  const newest = turns.flatMap((turn) => turn.blocks).filter((block) => !isThinking(block));
  const kept = newest.filter((block) => block === told.lastKept);
  for (const block of [...told.system.slice(-1), ...newest.slice(-1), ...kept]) {
    block.cache_control = { type: "ephemeral" };
  }
}

/** Returns the turns, with a user's turn before and behind them where the API wants one. */
function completed(turns: Turn[], prefill: boolean): Turn[] {
  const first = turns[0]?.role ?? "assistant";
  const begun = first === "assistant" ? [filler(BEGINNING), ...turns] : turns;
  const last = turns.at(-1);
  const block = last?.blocks.at(-1);
  if (last?.role !== "assistant" || !block) return begun;
  if (!prefill && !isPaused(block)) return [...begun, filler(CONTINUE)];
  if (blocks.isText(block)) block.text = trimEnd(textOf(block.text));
  return begun;
}

function turnSent({ role, blocks: content }: Turn): AnyTurn {
  return { role, content };
}

function filler(text: string): Turn {
  return { role: "user", blocks: [blocks.textBlock(text)] };
}

function isFiller(turn: Turn | undefined, text: string): boolean {
  return (
    turn?.role === "user" && isEqual(turn.blocks.map(blocks.withoutCache), [blocks.textBlock(text)])
  );
}

function promptOf(block: JsonObject): Message {
  return messageOf({ role: "ROLE_SYSTEM", ...blocks.bodyOf([block]) });
}

/** Returns the messages of a turn: results, then what the user says. */
function messagesOfTurn(turn: Turn): Message[] {
  if (turn.role === "assistant")
    return [blocks.messageOfModel(turn.blocks.map(blocks.withoutCache))];
  if (turn.role === "system") return turn.blocks.map(promptOf);
  const isResult = ({ type }: JsonObject) => type === "tool_result";
  const results = turn.blocks.filter(isResult).map(blocks.resultMessage);
  const { content, parts } = blocks.bodyOf(turn.blocks.filter((block) => !isResult(block)));
  const isSaid = content !== null || parts.length > 0;
  return isSaid ? [...results, messageOf({ role: "ROLE_USER", content, parts })] : results;
}
