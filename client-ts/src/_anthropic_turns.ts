/** The turns of a request to Anthropic's Messages API. */

import * as blocks from "./_anthropic_blocks.ts";
import { isThinking } from "./_anthropic_block_checks.ts";
import { callsOf, type Step } from "./_arrange.ts";
import { isPrompt, joined, runs, type Turn } from "./_turns.ts";
import type { JsonObject, Message } from "./types.ts";

/** The system prompt and the turns of a request, and the last block of the beginning that stays. */
export class Conversation {
  readonly system: JsonObject[] = [];
  readonly turns: Turn[] = [];
  lastKept: JsonObject | undefined;
  readonly #systemMessages: boolean;

  /** @param systemMessages Whether later system prompts are messages of the role `system`. */
  constructor(systemMessages: boolean) {
    this.#systemMessages = systemMessages;
  }

  /** Adds a step: a system prompt to the system prompt if it is at the beginning, else a turn. */
  add(step: Step, isKept: boolean): void {
    if ("said" in step && isPrompt(step.said) && !this.turns.length) this.#addPrompt(step.said);
    else this.turns.push(...turnsOf(step, this.#systemMessages));
    if (isKept) this.lastKept = (this.turns.at(-1)?.blocks ?? this.system).at(-1) ?? this.lastKept;
  }

  /** Adds a message to the system prompt. Its media become a user's turn: the prompt takes none. */
  #addPrompt(message: Message): void {
    const told = blocks.said(message);
    const media = told.filter((block) => !blocks.isText(block));
    this.system.push(...told.filter(blocks.isText));
    if (media.length) this.turns.push({ role: "user", blocks: media });
  }
}

/** Returns turns as the API accepts them: joined, calls last, no thinking last, system messages placed. */
export function settled(turns: readonly Turn[]): Turn[] {
  const placed = runs(turns, isModels).flatMap(place);
  return joined(joined(placed).map((turn) => ({ ...turn, blocks: ordered(turn) })));
}

/** Returns the turns of a step, without empty ones. */
function turnsOf(step: Step, systemMessages: boolean): Turn[] {
  if ("callers" in step) {
    return [
      { role: "assistant", blocks: step.callers.flatMap(blocks.ofModel) },
      { role: "user", blocks: callsOf(step).map(blocks.result) },
    ];
  }
  const made = turnOf(step.said, systemMessages);
  return made.blocks.length ? [made] : [];
}

function turnOf(message: Message, systemMessages: boolean): Turn {
  if (message.role === "ROLE_ASSISTANT") {
    return { role: "assistant", blocks: blocks.ofModel({ message, calls: [] }) };
  }
  const told = blocks.said(message);
  const isSystem = systemMessages && isPrompt(message) && told.every(blocks.isText);
  return { role: isSystem ? "system" : "user", blocks: told };
}

function isModels({ role }: Turn): boolean {
  return role === "assistant";
}

/** Returns turns between two of the model with system messages behind the user's, or as the user's. */
function place(run: readonly Turn[]): Turn[] {
  if (run.some(isModels)) return [...run];
  const users = run.filter(({ role }) => role === "user");
  if (!users.length) return run.map((turn) => ({ ...turn, role: "user" }));
  return [...users, ...run.filter(({ role }) => role === "system")];
}

/** Returns the blocks of a turn with calls last, and of the model's without thinking at the end. */
function ordered(turn: Turn): JsonObject[] {
  if (!isModels(turn)) return turn.blocks;
  const calls = turn.blocks.filter(blocks.isCall);
  const made = [...turn.blocks.filter((block) => !blocks.isCall(block)), ...calls];
  while (isThinking(made.at(-1))) made.pop();
  return made;
}
