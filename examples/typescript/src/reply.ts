import type { MessageInitShape } from "@bufbuild/protobuf";

import type { Piece } from "./client.ts";
import type * as gen from "./gen/sessionhistory/v1/append_message_stream_pb.ts";

/** A piece that a model streams: text; or at the end the reason of the end, and the tokens used. */
interface Chunk {
  text: string;
  finish?: { finishReason: string; usage: { outputTokens: number } };
}

/** Stands for a model that breaks off. */
export async function* broken(): AsyncGenerator<Chunk> {
  yield { text: "Light clothes" };
  yield { text: " and" };
}

/** Stands for a model that comes to its end. */
export async function* whole(): AsyncGenerator<Chunk> {
  yield* broken();
  yield { text: " a hat." };
  yield { text: "", finish: { finishReason: "stop", usage: { outputTokens: 6 } } };
}

/** Makes a message of the pieces that a model streams. */
export async function* pieces(
  header: MessageInitShape<typeof gen.AppendMessageStreamHeaderSchema>,
  chunks: AsyncIterable<Chunk>,
): AsyncGenerator<Piece> {
  yield { piece: { case: "header", value: header } };
  for await (const { text, finish } of chunks) {
    yield { piece: { case: "delta", value: { text } } };
    if (finish) yield { piece: { case: "finish", value: finish } };
  }
}
