/** The chunks of a streamed answer of OpenAI's Chat Completions API. */

import { loaded } from "./_content.ts";
import {
  PAYLOAD_TYPE,
  payloadOfAnswer,
  PROVIDER,
  statusOf,
  usageOf,
} from "./_openai_chat_answers.ts";
import { rawCall, REASONING_KEYS } from "./_openai_chat_items.ts";
import { Reader } from "./_stream.ts";
import { isFilled, member, objectsOf, textOf } from "./_values.ts";
import type { Delta, Finish, JsonObject, ToolCall, Usage } from "./types.ts";

/** Reads the chunks of a streamed answer. Ask for `stream_options: {"include_usage": true}`. */
export class StreamReader extends Reader {
  #usage: Usage | undefined;
  #finishReason = "";
  readonly #said = new Map<string, string>();
  /** Calls whose name has not arrived, by their index in the stream. */
  readonly #begun = new Map<number, { id: string; name: string; arguments: string }>();
  /** The places of the calls in the message, by their index in the stream. */
  /** The number of the newest call of each index of the API. */
  readonly #newest = new Map<number | undefined, number>();
  readonly #places = new Map<number, number>();

  /** Whether each call of the message is one of a custom tool. */
  readonly #isCustom: boolean[] = [];

  constructor(model = "") {
    super(PROVIDER, model);
  }

  override feed(event: object | string | Uint8Array): Delta[] {
    const { model, usage, choices } = loaded(event);
    this.draft.nameModel(textOf(model));
    this.#usage = usageOf(usage) ?? this.#usage;
    const deltas = objectsOf(choices)
      .filter(({ index }) => (index ?? 0) === 0)
      .flatMap(({ delta, finish_reason: reason }) => {
        this.#finishReason = textOf(reason) || this.#finishReason;
        return this.#delta(delta);
      });
    return this.#finishReason ? [...deltas, ...this.#think()] : deltas;
  }

  override finish(): Finish {
    return {
      ...(this.#usage && { usage: this.#usage }),
      payload: payloadOfAnswer(this.#item()),
      payloadType: PAYLOAD_TYPE,
      status: statusOf(this.#finishReason),
      finishReason: this.#finishReason,
    };
  }

  #delta(delta: unknown): Delta[] {
    for (const name of REASONING_KEYS) this.#add(name, member(delta, name));
    const texts = ["content", "refusal"].flatMap((name) => {
      const text = member(delta, name);
      this.#add(name, text);
      return text ? [...this.#think(), ...this.draft.text(textOf(text))] : [];
    });
    const calls = objectsOf(member(delta, "tool_calls")).flatMap((call) => [
      ...this.#think(),
      ...this.#call(call),
    ]);
    return [...texts, ...calls];
  }

  #add(name: string, text: unknown): void {
    if (typeof text === "string") this.#said.set(name, (this.#said.get(name) ?? "") + text);
  }

  /** Returns the reasoning as a part, once, when something else follows it. */
  #think(): Delta[] {
    const text = REASONING_KEYS.map((name) => this.#said.get(name)).find(Boolean);
    return text && !this.draft.parts.length ? this.draft.part({ reasoning: { text } }) : [];
  }

  /** Returns the deltas of a call, which begins when its name has arrived. */
  #call(delta: JsonObject): Delta[] {
    const [named, input] = isFilled(delta.function)
      ? [delta.function, "arguments"]
      : [delta.custom, "input"];
    const text = textOf(member(named, input));
    const index = this.#numberOf(delta, isFilled(member(named, "name")));
    const place = this.#places.get(index);
    if (place !== undefined) return text ? this.draft.arguments(place, text) : [];
    const begun = this.#begun.get(index) ?? { id: "", name: "", arguments: "" };
    begun.id = textOf(delta.id) || begun.id;
    begun.name += textOf(member(named, "name"));
    begun.arguments += text;
    this.#begun.set(index, begun);
    if (!begun.name) return [];
    this.#places.set(index, this.draft.calls.length);
    this.#isCustom.push(isFilled(delta.custom));
    return this.draft.call(begun);
  }

  /** Returns the number of a delta's call. Some servers give all calls one index, or none. */
  #numberOf(delta: JsonObject, isNamed: boolean): number {
    const index = typeof delta.index === "number" ? delta.index : undefined;
    const id = textOf(delta.id);
    const number = this.#newest.get(index);
    const known = number === undefined ? "" : this.#begun.get(number)?.id;
    const isOther = id && known && known !== id;
    if (number !== undefined && !isOther && !(index === undefined && isNamed && !id)) return number;
    this.#newest.set(index, this.#begun.size);
    return this.#begun.size;
  }

  #item(): JsonObject {
    const calls = this.draft.calls.map((call, index) =>
      this.#isCustom[index] ? customCall(call) : rawCall(call),
    );
    return { role: "assistant", ...Object.fromEntries(this.#said), tool_calls: calls };
  }
}

function customCall({ id, name, arguments: input }: Required<ToolCall>): JsonObject {
  return { id, type: "custom", custom: { name, input } };
}
