/** The deltas of a streamed answer, and the message that they make. */

import { messageOf } from "./_values.ts";
import type { Delta, Finish, Message, Part, ToolCall } from "./types.ts";

/** The message that the deltas of a stream make. Each method that adds something returns its delta. */
export class Draft {
  header: Message;
  content: string | undefined;
  readonly calls: Required<ToolCall>[] = [];
  readonly parts: Part[] = [];

  constructor(provider: string, model: string) {
    this.header = messageOf({ role: "ROLE_ASSISTANT", provider, model });
  }

  /** Sets the model that the stream names, unless the caller has named one. */
  nameModel(model: string): void {
    this.header = messageOf({ ...this.header, model: this.header.model ?? model });
  }

  text(text: string): Delta[] {
    this.content = (this.content ?? "") + text;
    return [{ text }];
  }

  call(call: Required<ToolCall>): Delta[] {
    this.calls.push({ ...call });
    return [{ toolCalls: [{ index: this.calls.length - 1, ...call }] }];
  }

  /** Adds to the arguments of a call. */
  arguments(index: number, text: string): Delta[] {
    this.calls[index]!.arguments += text;
    return [{ toolCalls: [{ index, arguments: text }] }];
  }

  part(part: Part): Delta[] {
    this.parts.push(part);
    return [{ parts: [part] }];
  }

  /** Returns the whole message. */
  message(finish: Finish): Message {
    const { content, calls: toolCalls, parts } = this;
    return messageOf({ ...this.header, content, toolCalls, parts, ...finish });
  }
}

/** Reads the events of a streamed answer, and returns what AppendMessageStream takes. */
export abstract class Reader {
  protected readonly draft: Draft;

  /**
   * @param provider The provider of the API.
   * @param model The model that the caller has asked for. Empty: the model that the stream names.
   */
  constructor(provider: string, model: string) {
    this.draft = new Draft(provider, model);
  }

  /** Returns the message of the stream's header: role, provider and model. */
  header(): Message {
    return this.draft.header;
  }

  /** Returns the deltas of an event: an object, JSON text, or its bytes. */
  abstract feed(event: object | string | Uint8Array): Delta[];

  /** Returns the stream's finish. Without the last event its status is INTERRUPTED. */
  abstract finish(): Finish;

  /** Returns the whole message, as the stream stores it. */
  message(): Message {
    return this.draft.message(this.finish());
  }
}
