/** Answers of OpenAI's Responses API, whole and as events of a stream. */

import { loaded, payloadOf } from "./_content.ts";
import {
  isCall,
  isReasoning,
  PAYLOAD_TYPE,
  readAnswer,
  readCall,
  readReasoning,
  SEPARATOR,
  textsOf,
  typeOf,
} from "./_openai_responses_items.ts";
import { Reader } from "./_stream.ts";
import { isFilled, isObject, member, messageOf, objectsOf, textOf } from "./_values.ts";
import type { Delta, Finish, Json, JsonObject, Message, Usage } from "./types.ts";

const PROVIDER = "openai";

/** Returns the message of a response. */
export function answerOf(response: JsonObject): Message {
  return messageOf({
    ...readAnswer(objectsOf(response.output)),
    provider: PROVIDER,
    model: textOf(response.model),
    ...finishOf(response),
  });
}

/** Returns the end of a response: its usage, status, finish reason and payload. */
function finishOf(response: JsonObject): Finish {
  const status = textOf(response.status);
  const items = objectsOf(response.output);
  const usage = usageOf(response.usage);
  const isWhole = !status || status === "completed";
  return {
    ...(usage && { usage }),
    ...(items.length && { payload: payloadOf(items), payloadType: PAYLOAD_TYPE }),
    status: isWhole ? "MESSAGE_STATUS_COMPLETE" : "MESSAGE_STATUS_INTERRUPTED",
    finishReason: textOf(member(response.incomplete_details, "reason")) || status,
  };
}

function usageOf(usage: Json | undefined): Usage | undefined {
  const details = member(usage, "input_tokens_details");
  const counts = {
    inputTokens: member(usage, "input_tokens"),
    outputTokens: member(usage, "output_tokens"),
    cacheReadTokens: member(details, "cached_tokens"),
    cacheWriteTokens: member(details, "cache_write_tokens"),
  };
  const known = Object.entries(counts).filter(([, count]) => typeof count === "number");
  return known.length ? (Object.fromEntries(known) as Usage) : undefined;
}

/** Reads the events of a streamed answer. */
export class StreamReader extends Reader {
  #response: JsonObject | undefined;
  /** The places of the calls in the message, by the index of their items. */
  readonly #places = new Map<number, number>();
  /** The text that the last delta added to. */
  #speaking = "";
  /** The indexes of the items whose text has arrived. */
  readonly #spoken = new Set<number>();

  constructor(model = "") {
    super(PROVIDER, model);
  }

  override feed(event: object | string | Uint8Array): Delta[] {
    const { type, output_index: index, content_index: part, delta, item, response } = loaded(event);
    const place = numberOf(index);
    switch (type) {
      case "response.output_text.delta":
      case "response.refusal.delta":
        return this.#text(place, numberOf(part), textOf(delta));
      case "response.function_call_arguments.delta":
      case "response.custom_tool_call_input.delta":
        return this.#arguments(place, textOf(delta));
      case "response.output_item.added":
        return isObject(item) && "name" in item ? this.#call(place, item) : [];
      case "response.output_item.done":
        return isObject(item) ? this.#done(place, item) : [];
      default:
        if (isObject(response)) this.#hear(response);
        return [];
    }
  }

  override finish(): Finish {
    return this.#response ? finishOf(this.#response) : { status: "MESSAGE_STATUS_INTERRUPTED" };
  }

  /** Keeps the model that the first event names, and the response of the last event. */
  #hear(response: JsonObject): void {
    this.draft.nameModel(textOf(response.model));
    if (response.status !== "queued" && response.status !== "in_progress")
      this.#response = response;
  }

  #text(index: number, part: number, text: string): Delta[] {
    if (!text) return [];
    const place = `${index}.${part}`;
    const isSeparate = isFilled(this.draft.content) && this.#speaking !== place;
    this.#speaking = place;
    this.#spoken.add(index);
    return this.draft.text(isSeparate ? SEPARATOR + text : text);
  }

  #arguments(index: number, text: string): Delta[] {
    const place = this.#places.get(index);
    return place === undefined ? [] : this.draft.arguments(place, text);
  }

  #call(index: number, item: JsonObject): Delta[] {
    if (!isCall(item)) return [];
    this.#places.set(index, this.draft.calls.length);
    return this.draft.call(readCall(item));
  }

  /** Returns the deltas of a whole item that no event has told before. */
  #done(index: number, item: JsonObject): Delta[] {
    if (isReasoning(item)) return readReasoning(item).flatMap((part) => this.draft.part(part));
    if (isCall(item)) return this.#places.has(index) ? [] : this.#call(index, item);
    if (typeOf(item) !== "message" || this.#spoken.has(index)) return [];
    return textsOf([item]).flatMap((text, part) => this.#text(index, part, text));
  }
}

function numberOf(value: Json | undefined): number {
  return typeof value === "number" ? value : 0;
}
