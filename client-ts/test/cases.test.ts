import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as formats from "../src/index.ts";
import type { Delta, Json, Message, ToolCall } from "../src/types.ts";
import { type Case, casesOf } from "./cases.ts";

const FORMATS = {
  anthropic: formats.anthropic,
  gemini: formats.gemini,
  openai_chat: formats.openaiChat,
  openai_responses: formats.openaiResponses,
};

for (const [name, format] of Object.entries(FORMATS)) {
  describe(name, () => {
    for (const [file, told] of casesOf(name)) test(file, () => check(format as Format, told));
  });
}

/** The functions that all formats have. */
interface Format {
  toRequest(source: formats.History | Message[], options: object): object;
  fromRequest(request: object): Message[];
  fromResponse(response: object | string | Uint8Array): Message[];
  violations(request: object, options?: object): formats.Violation[];
  StreamReader: new (model?: string) => {
    header(): Message;
    feed(event: object): Delta[];
    finish(): formats.Finish;
    message(): Message;
  };
}

function check(format: Format, told: Case): void {
  const { request, response, violations } = told;
  if (violations) checkViolations(format, told, request!, violations);
  else if (request) checkRequest(format, told, request);
  if (response) checkResponse(format, response, told.messages!);
  if (told.stream) checkStream(format, told.stream, told.messages!);
}

function checkRequest(format: Format, told: Case, expected: object): void {
  const request = format.toRequest(told.history ?? told.messages!, options(told.options));
  assert.deepEqual(request, expected, told.about);
  assert.deepEqual(format.violations(request, options(told.rules)), []);
  const back = format.fromRequest(request);
  if (told.back) assert.deepEqual(back.map(stored), told.back.map(stored));
}

function checkResponse(format: Format, response: object, messages: Message[]): void {
  const text = JSON.stringify(response);
  for (const form of [response, text, new TextEncoder().encode(text)]) {
    assert.deepEqual(format.fromResponse(form).map(stored), messages.map(stored));
  }
}

function checkStream(format: Format, stream: object[], messages: Message[]): void {
  const reader = new format.StreamReader();
  const deltas = stream.flatMap((event) => reader.feed(event));
  assert.deepEqual([reader.message()].map(stored), messages.map(stored));
  const appended = { ...reader.header(), ...appendedOf(deltas), ...reader.finish() };
  assert.deepEqual([appended].map(stored), messages.map(stored));
  const named = new format.StreamReader("asked-for");
  for (const event of stream) named.feed(event);
  assert.equal(named.message().model, "asked-for");
}

function checkViolations(format: Format, told: Case, request: object, expected: object[]): void {
  const found = format.violations(request, options(told.rules));
  // A case names the rule and the path, and perhaps the text and the source.
  const named = Object.keys(expected[0] ?? {});
  const shown = found.map((one) =>
    Object.fromEntries(Object.entries(one).filter(([name]) => named.includes(name))),
  );
  assert.deepEqual(shown, expected, told.about);
  assert.ok(found.every(({ text, source }) => text && source.startsWith("https://")));
}

/** Returns options with the names that they have in TypeScript. */
function options(named: object = {}): object {
  const camelCase = (name: string) => name.replace(/_./g, ([, letter]) => letter!.toUpperCase());
  return Object.fromEntries(Object.entries(named).map(([name, value]) => [camelCase(name), value]));
}

/** Returns the fields of a message that the server makes of deltas. */
function appendedOf(deltas: Delta[]): Message {
  const message: Message = {};
  const calls: Required<ToolCall>[] = [];
  for (const { text, toolCalls = [], parts = [] } of deltas) {
    if (text !== undefined) message.content = (message.content ?? "") + text;
    for (const { index = 0, id, name, arguments: more = "" } of toolCalls) {
      const call = (calls[index] ??= { id: "", name: "", arguments: "" });
      calls[index] = {
        id: id || call.id,
        name: name || call.name,
        arguments: call.arguments + more,
      };
    }
    if (parts.length) message.parts = [...(message.parts ?? []), ...parts];
  }
  return calls.length ? { ...message, toolCalls: calls } : message;
}

/** Returns a message in a form that can be compared: without default values, with its payload as JSON. */
function stored({ messageId: _, sequence: __, createTime: ___, ...message }: Message): object {
  const { payload, parts, toolCalls, status, ...others } = message;
  return clean({
    ...others,
    payload: payload && JSON.parse(Buffer.from(payload, "base64").toString()),
    parts: parts?.map((part) =>
      clean(part.json === undefined ? part : { json: JSON.parse(part.json) }),
    ),
    toolCalls: toolCalls?.map(clean),
    status: status === "MESSAGE_STATUS_COMPLETE" ? undefined : status,
  });
}

function clean(fields: object): object {
  const isKept = ([name, value]: [string, unknown]) =>
    value !== undefined && ((value !== "" && value !== false) || name === "content");
  return Object.fromEntries(Object.entries(fields as Record<string, Json>).filter(isKept));
}
