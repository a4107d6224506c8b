/** The rules of OpenAI's Responses API for `input`, each with its public source. */

import { loaded } from "./_content.ts";
import { isAcceptedName } from "./_names.ts";
import * as items from "./_openai_responses_items.ts";
import { isFilled, member, placedObjectsOf, textOf } from "./_values.ts";
import { rule } from "./_violations.ts";
import type { Json, JsonObject, Violation } from "./types.ts";

export const MAX_CALL_ID_LENGTH = 64;

const INPUT = ["input_file", "input_image", "input_text"];
/** The roles, and the types of the parts that each takes. */
const PARTS: ReadonlyMap<string, readonly string[]> = new Map([
  ["system", INPUT],
  ["developer", INPUT],
  ["user", INPUT],
  ["assistant", ["output_text", "refusal"]],
]);

const TYPES = "https://github.com/openai/openai-python/blob/main/src/openai/types/responses";
const RULES = {
  role: rule(
    "role",
    `the role must be one of ${[...PARTS.keys()].join(", ")}`,
    `${TYPES}/easy_input_message_param.py`,
  ),
  content: rule(
    "content-required",
    "the message must have text or a list of parts: leave it out",
    `${TYPES}/easy_input_message_param.py`,
  ),
  inputType: rule(
    "input-part-type",
    `a part of this role or result must be one of ${INPUT.join(", ")}`,
    `${TYPES}/response_input_message_content_list_param.py`,
  ),
  outputType: rule(
    "output-part-type",
    "a part of the assistant must be output_text or refusal",
    "https://github.com/jeremychone/rust-genai/pull/119",
  ),
  callShape: rule(
    "call-shape",
    "a call has a call_id, and that of a function or a custom tool a name, and arguments or input in text",
    `${TYPES}/response_function_tool_call_param.py`,
  ),
  resultShape: rule(
    "result-shape",
    "a result has a call_id and an output",
    `${TYPES}/response_input_item_param.py`,
  ),
  idLength: rule(
    "call-id-length",
    `the call_id has at most ${MAX_CALL_ID_LENGTH} characters`,
    "https://github.com/openai/codex/issues/14355",
  ),
  idUnique: rule(
    "call-id-unique",
    "each call needs a call_id of its own, because its result names it",
    `${TYPES}/response_function_tool_call_param.py`,
  ),
  functionName: rule(
    "function-name",
    "the name of a function has 1 to 64 of the characters A-Z a-z 0-9 _ -",
    "https://github.com/microsoft/semantic-kernel/issues/5320",
  ),
  unanswered: rule(
    "calls-answered",
    "a result must follow the call",
    "https://github.com/bytedance/trae-agent/issues/245",
  ),
  loneResult: rule(
    "result-follows-call",
    "a result must follow its call, once",
    "https://github.com/continuedev/continue/issues/10092",
  ),
  reasoningShape: rule(
    "reasoning-shape",
    "reasoning has an id and a list summary",
    `${TYPES}/response_reasoning_item_param.py`,
  ),
  reasoningLast: rule(
    "reasoning-followed",
    "the item of the answer must directly follow its reasoning",
    "https://github.com/openai/openai-node/issues/1567",
  ),
  itemId: rule(
    "item-id-unique",
    "an earlier item has the id: send the item once, or without id",
    "https://github.com/earendil-works/pi/issues/5149",
  ),
} as const;

/** Returns the rules of the API that the `input` of a request breaks, in its order. */
export function violations(request: object | string | Uint8Array): Violation[] {
  return new Checker(placedObjectsOf(loaded(request).input)).violations();
}

/** Checks the items of an input, in their order. */
class Checker {
  readonly #items: JsonObject[];
  readonly #answered: Set<string>;
  /** By the id of a call: how many calls have no result yet. */
  readonly #open = new Map<string, number>();

  constructor(input: JsonObject[]) {
    this.#items = input;
    this.#answered = new Set(input.filter(items.isResult).map((item) => textOf(item.call_id)));
  }

  violations(): Violation[] {
    const ids = new Set<string>();
    return this.#items.flatMap((item, index) => {
      const id = textOf(item.id);
      const isUsed = id !== "" && ids.has(id);
      ids.add(id);
      const path = `input[${index}]`;
      return [...this.#check(item, index, path), ...broken(isUsed, RULES.itemId, `${path}.id`)];
    });
  }

  #check(item: JsonObject, index: number, path: string): Violation[] {
    if (items.typeOf(item) === "message") return checkMessage(item, path);
    if (items.isCall(item)) return this.#checkCall(item, path);
    if (items.isResult(item)) return this.#checkResult(item, path);
    return items.isReasoning(item) ? checkReasoning(item, this.#items[index + 1], path) : [];
  }

  /** Checks a call, and counts it until its result comes. */
  #checkCall(item: JsonObject, path: string): Violation[] {
    const { call_id: id, name } = item;
    const text = items.TEXT_CALLS.get(items.typeOf(item));
    const hasText =
      text === undefined || (typeof name === "string" && typeof item[text] === "string");
    if (typeof id !== "string" || !hasText) return [RULES.callShape(path)];
    const isUsed = this.#open.has(id);
    this.#count(id, 1);
    return [
      ...broken(!id || [...id].length > MAX_CALL_ID_LENGTH, RULES.idLength, `${path}.call_id`),
      ...broken(isUsed, RULES.idUnique, `${path}.call_id`),
      ...broken("name" in item && !isAcceptedName(name), RULES.functionName, `${path}.name`),
      ...broken(!this.#answered.has(id), RULES.unanswered, path),
    ];
  }

  /** Checks a result, and closes its call. */
  #checkResult(item: JsonObject, path: string): Violation[] {
    const { call_id: id, output } = item;
    const isText = items.TEXT_CALLS.has(items.callTypeOf(item) ?? "");
    const hasOutput = !isText || typeof output === "string" || Array.isArray(output);
    if (typeof id !== "string" || !hasOutput) return [RULES.resultShape(path)];
    const isLone = this.#open.get(id) !== 1;
    this.#count(id, -1);
    return [
      ...broken(isLone, RULES.loneResult, `${path}.call_id`),
      ...(isText ? checkParts(output, INPUT, RULES.inputType, `${path}.output`) : []),
    ];
  }

  #count(id: string, change: number): void {
    this.#open.set(id, (this.#open.get(id) ?? 0) + change);
  }
}

function broken(isBroken: boolean, at: (path: string) => Violation, path: string): Violation[] {
  return isBroken ? [at(path)] : [];
}

function checkMessage({ role, content }: JsonObject, path: string): Violation[] {
  const allowed = PARTS.get(textOf(role));
  if (!allowed) return [RULES.role(`${path}.role`)];
  if (!isFilled(content) || !(typeof content === "string" || Array.isArray(content))) {
    return [RULES.content(`${path}.content`)];
  }
  const at = role === "assistant" ? RULES.outputType : RULES.inputType;
  return checkParts(content, allowed, at, `${path}.content`);
}

function checkParts(
  content: Json | undefined,
  allowed: readonly string[],
  at: (path: string) => Violation,
  path: string,
): Violation[] {
  if (!Array.isArray(content)) return [];
  return content.flatMap((part, index) =>
    broken(!allowed.includes(textOf(member(part, "type"))), at, `${path}[${index}].type`),
  );
}

function checkReasoning(item: JsonObject, next: JsonObject | undefined, path: string): Violation[] {
  const hasShape = typeof item.id === "string" && Array.isArray(item.summary);
  return [
    ...broken(!hasShape, RULES.reasoningShape, path),
    ...broken(!next || !items.isModels(next), RULES.reasoningLast, path),
  ];
}
