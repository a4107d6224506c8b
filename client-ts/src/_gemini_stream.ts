/** Reads the chunks of a streamed answer of Gemini, and the end of an answer. */

import { loaded } from "./_content.ts";
import { CALL, partsOf, SIGNATURE } from "./_gemini_checks.ts";
import { camel } from "./_gemini_names.ts";
import { mediumPart } from "./_gemini_media.ts";
import { answer, callOf, isText, PROVIDER, reasoningOf } from "./_gemini_parts.ts";
import { Reader } from "./_stream.ts";
import { isEqual, isFilled, isObject, member, objectsOf, textOf } from "./_values.ts";
import type { Delta, Finish, Json, JsonObject, Usage } from "./types.ts";

/** Returns the end of an answer. With any other reason than STOP the answer may be half. */
export function finished(reason: string, usage: Json | undefined): Finish {
  const counts = usageOf(usage);
  return {
    ...(counts && { usage: counts }),
    status: reason === "STOP" ? "MESSAGE_STATUS_COMPLETE" : "MESSAGE_STATUS_INTERRUPTED",
    finishReason: reason,
  };
}

/** Returns the tokens of a call. Thoughts, which Gemini counts apart, are tokens of the output. */
function usageOf(usage: Json | undefined): Usage | undefined {
  const count = (name: string) => {
    const found = member(usage, name);
    return typeof found === "number" ? [found] : [];
  };
  const [inputTokens] = count("promptTokenCount");
  const output = [...count("candidatesTokenCount"), ...count("thoughtsTokenCount")];
  const [cacheReadTokens] = count("cachedContentTokenCount");
  const found: Usage = {
    ...(inputTokens !== undefined && { inputTokens }),
    ...(output.length && { outputTokens: output.reduce((sum, one) => sum + one) }),
    ...(cacheReadTokens !== undefined && { cacheReadTokens }),
  };
  return isFilled(found) ? found : undefined;
}

/** Reads the chunks of an answer. */
export class StreamReader extends Reader {
  readonly #parts: JsonObject[] = [];
  /** The thoughts that are not written yet, because more of them may follow. */
  #thoughts: JsonObject[] = [];
  #reason = "";
  #usage: JsonObject = {};

  constructor(model = "") {
    super(PROVIDER, model);
  }

  override feed(event: object | string | Uint8Array): Delta[] {
    const { modelVersion, usageMetadata, candidates } = camel(loaded(event));
    this.draft.nameModel(textOf(modelVersion));
    if (isObject(usageMetadata)) this.#usage = { ...this.#usage, ...usageMetadata };
    const [candidate] = objectsOf(candidates);
    this.#reason = textOf(candidate?.finishReason) || this.#reason;
    const deltas = partsOf(candidate?.content).flatMap((part) => this.#add(part));
    return this.#reason ? [...deltas, ...this.#think()] : deltas;
  }

  override finish(): Finish {
    const { payload, payloadType } = answer(this.#parts);
    return {
      ...finished(this.#reason, this.#usage),
      ...(payload && { payload }),
      ...(payloadType && { payloadType }),
    };
  }

  #add(part: JsonObject): Delta[] {
    this.#join(part);
    if (isFilled(part.thought)) {
      this.#thoughts.push(part);
      return [];
    }
    return [...this.#think(), ...this.#deltas(part)];
  }

  #deltas(part: JsonObject): Delta[] {
    const call = part[CALL];
    if (isText(part) && part.text) return this.draft.text(textOf(part.text));
    if (isObject(call)) return this.draft.call(callOf(call));
    const medium = mediumPart(part);
    return medium ? this.draft.part(medium) : [];
  }

  /** Joins text with the text before it. A signature belongs to its part, which stays apart. */
  #join(part: JsonObject): void {
    const last = this.#parts.at(-1) ?? {};
    const isJoined =
      isOnlyText(last) && isEqual(Object.keys(last).sort(), Object.keys(part).sort());
    if (isJoined)
      this.#parts.push({ ...this.#parts.pop(), text: textOf(last.text) + textOf(part.text) });
    else if (part.text !== "" || isFilled(part[SIGNATURE])) this.#parts.push(part);
  }

  #think(): Delta[] {
    const thought = reasoningOf(this.#thoughts);
    this.#thoughts = [];
    return thought ? this.draft.part(thought) : [];
  }
}

function isOnlyText({ text, thought: _, ...others }: JsonObject): boolean {
  return typeof text === "string" && !isFilled(others);
}
