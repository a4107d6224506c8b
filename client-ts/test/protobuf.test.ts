import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { create, fromJson, type MessageInitShape, toJson } from "@bufbuild/protobuf";

import { openaiChat } from "../src/index.ts";
import {
  AppendMessageStreamDeltaSchema,
  AppendMessageStreamFinishSchema,
  AppendMessageStreamRequestSchema,
} from "./gen/sessionhistory/v1/append_message_stream_pb.ts";
import { type History, HistorySchema } from "./gen/sessionhistory/v1/history_pb.ts";
import { type Message, MessageSchema, Role } from "./gen/sessionhistory/v1/message_pb.ts";

/** A piece of a message that streams, as in examples/typescript. */
type Piece = MessageInitShape<typeof AppendMessageStreamRequestSchema>;

const QUESTION = "What is the weather in Rome?";

/** Asks the model, and returns the message to append. */
async function answer(history: History): Promise<Message> {
  const request = openaiChat.toRequest(toJson(HistorySchema, history));
  const response = await complete({ model: "gpt-5", ...request });
  const [message] = openaiChat.fromResponse(response);
  return fromJson(MessageSchema, { ...message, messageId: randomUUID() });
}

/** Makes a message of the chunks that a model streams. */
async function* pieces(sessionId: string, chunks: AsyncIterable<object>): AsyncGenerator<Piece> {
  const reader = new openaiChat.StreamReader("gpt-5");
  const message = fromJson(MessageSchema, { ...reader.header(), messageId: randomUUID() });
  yield { piece: { case: "header", value: { sessionId, message } } };
  for await (const chunk of chunks) {
    for (const delta of reader.feed(chunk)) {
      yield { piece: { case: "delta", value: fromJson(AppendMessageStreamDeltaSchema, delta) } };
    }
  }
  yield { piece: { case: "finish", value: fromJson(AppendMessageStreamFinishSchema, reader.finish()) } };
}

test("a history of protobuf-es makes a request, and an answer makes a message of protobuf-es", async () => {
  const history = create(HistorySchema, {
    messages: [{ sequence: 1n, role: Role.USER, content: QUESTION }],
  });
  const { role, content, usage, payload } = await answer(history);
  assert.deepEqual([role, content, usage?.cacheReadTokens], [Role.ASSISTANT, "Sunny.", 4]);
  assert.equal(new TextDecoder().decode(payload), '{"role":"assistant","content":"Sunny."}');
});

test("the chunks of a stream make pieces of protobuf-es", async () => {
  const made = [];
  for await (const piece of pieces("trip-1", streamed())) {
    made.push(create(AppendMessageStreamRequestSchema, piece).piece);
  }
  const [header, delta, finish] = made;
  assert.ok(header?.case === "header" && header.value.message?.model === "gpt-5");
  assert.ok(delta?.case === "delta" && delta.value.text === "Sunny.");
  assert.ok(finish?.case === "finish" && finish.value.finishReason === "stop");
});

/** Stands for a call of the model. */
async function complete(request: openaiChat.Request & { model: string }): Promise<object> {
  assert.deepEqual(request.messages, [{ role: "user", content: QUESTION }]);
  return {
    model: "gpt-5",
    choices: [{ finish_reason: "stop", message: { role: "assistant", content: "Sunny." } }],
    usage: { prompt_tokens: 9, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 4 } },
  };
}

/** Stands for a call of the model that streams. */
async function* streamed(): AsyncGenerator<object> {
  yield { model: "gpt-5", choices: [{ index: 0, delta: { content: "Sunny." } }] };
  yield { model: "gpt-5", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] };
}
