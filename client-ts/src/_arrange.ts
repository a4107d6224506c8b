/**
 * Arranges messages in stored order into the steps of a request: results directly behind their calls.
 *
 * All formats share `arrange`. A format renders each step, and merges roles as its API wants.
 */

import { callIds, type IdRule } from "./_call_ids.ts";
import { pair } from "./_pairing.ts";
import { repaired } from "./_repair.ts";
import type { History, Message, ToolCall, Unanswered } from "./types.ts";

/** The most calls of one message that OpenAI and the contract accept. */
const MAX_JOINED_CALLS = 128;

/** The text of the result that a call without one gets. */
export const NO_RESULT = "This tool call has no result.";

/** A message without calls, also one of which all calls are left out: `said` has none then. */
export interface Said {
  readonly said: Message;
}

/**
 * One or several messages of the model in a row with their calls. The results of all follow the last
 * message. The first may have text; the others have calls or reasoning only.
 */
export interface Called {
  readonly callers: readonly Caller[];
}

export type Step = Said | Called;

/** A message of a row, as it was stored, with the calls that are kept of it; with reasoning alone, none. */
export interface Caller {
  readonly message: Message;
  readonly calls: readonly AnsweredCall[];
}

/**
 * A call and its results in stored order. If there is none, the format writes `NO_RESULT`.
 *
 * The call has an id that the API accepts, and JSON for arguments if the message was interrupted.
 */
export interface AnsweredCall {
  readonly call: Required<ToolCall>;
  readonly results: readonly Message[];
  /** The place of the call among the calls of its stored message, and so in its payload. */
  readonly index: number;
}

/** Returns the messages of a history, or of any series. */
export function messagesOf(source: History | Iterable<Message>): Message[] {
  return Symbol.iterator in source ? [...source] : (source.messages ?? []);
}

/** Returns the steps of messages in stored order. */
export function arrange(
  source: History | Iterable<Message>,
  rule: IdRule,
  unanswered: Unanswered = "MARKER",
): Step[] {
  const stored = messagesOf(source).flatMap(split);
  const results = pair(stored);
  const ids = callIds(stored, rule);
  const callers = stored.map((message, place) => ({
    message,
    calls: (message.toolCalls ?? [])
      .map((call, index) => ({
        call: accepted(call, ids[place]![index]!, message.status === "MESSAGE_STATUS_INTERRUPTED"),
        results: results[place]![index]!.map((result) => stored[result]!),
        index,
      }))
      .filter((answered) => answered.results.length > 0 || unanswered === "MARKER"),
  }));
  return steps(callers);
}

/** Returns the calls of a step, in order. */
export function callsOf(step: Called): AnsweredCall[] {
  return step.callers.flatMap(({ calls }) => calls);
}

/** Returns whether a message of the model has reasoning or a payload only, or nothing at all. */
export function isReasoning(message: Message): boolean {
  return !message.toolCalls?.length && !speaks(message);
}

/** Returns whether a message has content other than calls and reasoning. */
function speaks({ role, content, parts = [] }: Message): boolean {
  return role !== "ROLE_ASSISTANT" || !!content || parts.some(({ reasoning }) => !reasoning);
}

/** Calls that are not the model's become a message of the model behind their message. */
function split(message: Message): Message[] {
  const { role, toolCalls, sequence, status } = message;
  if (!toolCalls?.length || role === "ROLE_ASSISTANT") return [message];
  const calling: Message = {
    role: "ROLE_ASSISTANT",
    toolCalls,
    ...(sequence !== undefined && { sequence }),
    ...(status !== undefined && { status }),
  };
  return [withoutCalls(message), calling];
}

/** Returns a call as the API accepts it. */
function accepted(call: ToolCall, id: string, isInterrupted: boolean): Required<ToolCall> {
  const { name = "", arguments: text = "" } = call;
  return { id, name, arguments: isInterrupted ? repaired(text) : text };
}

/** Returns the steps of messages in stored order. The results of calls stand in the calls. */
function steps(callers: readonly Caller[]): Step[] {
  const found: Step[] = [];
  let row: Caller[] = [];
  for (const caller of callers) {
    if (caller.message.role === "ROLE_ASSISTANT" || caller.message.role === "ROLE_TOOL") {
      row.push(caller);
      continue;
    }
    found.push(...stepsOfRow(row), { said: caller.message });
    row = [];
  }
  return [...found, ...stepsOfRow(row)];
}

/** Returns the steps of a row of the model: calls are joined until a result, or a message that says more. */
function stepsOfRow(row: readonly Caller[]): Step[] {
  const found: Step[] = [];
  let joined: Caller[] = [];
  let thoughts: Caller[] = []; // they belong to the message behind them
  for (const caller of row) {
    if (caller.message.role === "ROLE_TOOL") {
      if (joined.length) found.push({ callers: joined });
      joined = [];
      continue;
    }
    if (!caller.calls.length && !speaks(caller.message)) {
      thoughts.push(caller);
      continue;
    }
    if (
      joined.length &&
      (!caller.calls.length || speaks(caller.message) || isFull(joined, caller))
    ) {
      found.push({ callers: joined });
      joined = [];
    }
    if (caller.calls.length) joined.push(...thoughts, caller);
    else found.push(...[...thoughts, caller].map(said));
    thoughts = [];
  }
  if (joined.length) found.push({ callers: joined });
  return [...found, ...thoughts.map(said)];
}

function isFull(joined: readonly Caller[], caller: Caller): boolean {
  return callsOf({ callers: [...joined, caller] }).length > MAX_JOINED_CALLS;
}

function said({ message }: Caller): Said {
  return { said: withoutCalls(message) };
}

function withoutCalls(message: Message): Message {
  if (!message.toolCalls?.length) return message;
  const { toolCalls: _, ...others } = message;
  return others;
}
