/** Reads the events of a streamed answer of Anthropic's Messages API. */

import { isCall, PAYLOAD_TYPE, PROVIDER, reasoningOf } from "./_anthropic_blocks.ts";
import { loaded, payloadOf } from "./_content.ts";
import { argumentsObject } from "./_repair.ts";
import { Reader } from "./_stream.ts";
import { isFilled, isObject, member, textOf } from "./_values.ts";
import type { Delta, Finish, Json, JsonObject, MessageStatus, Usage } from "./types.ts";

/** The members of a block that deltas of these types add to. */
const GROWING = new Map([
  ["text_delta", "text"],
  ["thinking_delta", "thinking"],
  ["signature_delta", "signature"],
]);

/** Returns the status of an answer: one that a limit has cut may end with half a call. */
export function statusOf(finishReason: string): MessageStatus {
  const isCut = ["max_tokens", "model_context_window_exceeded"].includes(finishReason);
  return isCut ? "MESSAGE_STATUS_INTERRUPTED" : "MESSAGE_STATUS_COMPLETE";
}

/** Returns the tokens as Anthropic counts them: `inputTokens` are those outside of the cache. */
export function usageOf(usage: unknown): Usage | undefined {
  const counts = {
    inputTokens: member(usage, "input_tokens"),
    outputTokens: member(usage, "output_tokens"),
    cacheReadTokens: member(usage, "cache_read_input_tokens"),
    cacheWriteTokens: member(usage, "cache_creation_input_tokens"),
  };
  const known = Object.entries(counts).filter(([, count]) => typeof count === "number");
  return known.length ? (Object.fromEntries(known) as Usage) : undefined;
}

/**
 * Reads the events of an answer: the objects of the lines `data:`.
 *
 * Thinking is a part when its block ends, because its signature comes last. Blocks of tools that Anthropic
 * runs are in the payload only.
 */
export class StreamReader extends Reader {
  readonly #blocks = new Map<number, JsonObject>();
  /** The input of each call as text, by the index of its block. */
  readonly #written = new Map<number, string>();
  /** The places of the calls in the message, by the index of their blocks. */
  readonly #places = new Map<number, number>();
  #usage: JsonObject = {};
  #finishReason = "";
  #isStopped = false;

  constructor(model = "") {
    super(PROVIDER, model);
  }

  override feed(event: object | string | Uint8Array): Delta[] {
    const told = loaded(event);
    const index = typeof told.index === "number" ? told.index : 0;
    switch (told.type) {
      case "message_start":
        return this.#start(told.message);
      case "content_block_start":
        return this.#startBlock(index, told.content_block);
      case "content_block_delta":
        return this.#add(index, told.delta);
      case "content_block_stop":
        return this.#endBlock(index);
      case "message_delta":
        return this.#end(told);
      case "message_stop":
        this.#isStopped = true;
        return [];
      default:
        return [];
    }
  }

  override finish(): Finish {
    const usage = usageOf(this.#usage);
    const told: Finish = { ...(usage && { usage }), finishReason: this.#finishReason };
    if (!this.#isStopped) return { ...told, status: "MESSAGE_STATUS_INTERRUPTED" };
    const indexes = [...this.#blocks.keys()].sort((one, other) => one - other);
    const payload = payloadOf(indexes.map((index) => this.#whole(index)));
    return { ...told, status: statusOf(this.#finishReason), payload, payloadType: PAYLOAD_TYPE };
  }

  #start(message: Json | undefined): Delta[] {
    this.draft.nameModel(textOf(member(message, "model")));
    this.#count(member(message, "usage"));
    return [];
  }

  #count(usage: Json | undefined): void {
    if (!isObject(usage)) return;
    this.#usage = {
      ...this.#usage,
      ...Object.fromEntries(Object.entries(usage).filter(([, count]) => count !== null)),
    };
  }

  #startBlock(index: number, block: Json | undefined): Delta[] {
    const begun = isObject(block) ? { ...block } : {};
    this.#blocks.set(index, begun);
    if (isCall(begun)) {
      this.#places.set(index, this.draft.calls.length);
      return this.draft.call({ id: textOf(begun.id), name: textOf(begun.name), arguments: "" });
    }
    return begun.type === "text" && begun.text ? this.draft.text(textOf(begun.text)) : [];
  }

  /** Adds a delta to its block. */
  #add(index: number, delta: Json | undefined): Delta[] {
    const block = this.#blocks.get(index);
    const kind = textOf(member(delta, "type"));
    if (!block) return [];
    if (kind === "input_json_delta")
      return this.#addInput(index, textOf(member(delta, "partial_json")));
    if (kind === "citations_delta") {
      const earlier = Array.isArray(block.citations) ? block.citations : [];
      block.citations = [...earlier, member(delta, "citation") ?? null];
    }
    const name = GROWING.get(kind);
    if (!name) return [];
    const text = textOf(member(delta, name));
    block[name] = textOf(block[name]) + text;
    return name === "text" && text ? this.draft.text(text) : [];
  }

  #addInput(index: number, text: string): Delta[] {
    this.#written.set(index, (this.#written.get(index) ?? "") + text);
    const place = this.#places.get(index);
    return text && place !== undefined ? this.draft.arguments(place, text) : [];
  }

  #endBlock(index: number): Delta[] {
    const block = this.#blocks.get(index);
    if (!block) return [];
    if (isCall(block) && !this.#written.get(index)) {
      return this.#addInput(index, JSON.stringify(isFilled(block.input) ? block.input : {}));
    }
    const thought = reasoningOf(block);
    return thought ? this.draft.part(thought) : [];
  }

  #end({ delta, usage }: JsonObject): Delta[] {
    this.#finishReason = textOf(member(delta, "stop_reason"));
    this.#count(usage);
    return [];
  }

  /** Returns a block with the input that its deltas make. */
  #whole(index: number): JsonObject {
    const text = this.#written.get(index);
    const block = this.#blocks.get(index)!;
    return text ? { ...block, input: argumentsObject(text) } : block;
  }
}
