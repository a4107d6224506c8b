import { setTimeout } from "node:timers/promises";

import * as protobuf from "@bufbuild/protobuf";
import { anyUnpack, type Any, durationMs } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";

import { callCredentials, channelCredentials } from "./credentials.ts";
import { ErrorInfoSchema, RetryInfoSchema, StatusSchema } from "./gen/google/rpc/error_pb.ts";
import type {
  AppendMessageStreamRequest,
  AppendMessageStreamRequestSchema,
  AppendMessageStreamResponse,
} from "./gen/sessionhistory/v1/append_message_stream_pb.ts";
import { SessionHistoryService } from "./gen/sessionhistory/v1/session_history_service_pb.ts";

/** How long a call may take, with all its retries, if its caller sets no deadline. */
export const DEADLINE_MILLIS = 5_000;

/** A connection that is silent for so long is probed. */
const KEEPALIVE_MILLIS = 20_000;

const SERVICE_CONFIG: grpc.ServiceConfig = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{ service: SessionHistoryService.typeName }],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.2s",
        maxBackoff: "2s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

/** A message that streams takes as long as its model. It is sent again after waits that double. */
const STREAM_DEADLINE_MILLIS = 300_000;
const STREAM_WAIT_MILLIS = 200;

/** A piece of a message that streams: a header, deltas, a finish. */
export type Piece = protobuf.MessageInitShape<typeof AppendMessageStreamRequestSchema>;

/** A call that failed. Its name is the gRPC code and the server's reason. */
export class RpcError extends Error {
  readonly code: grpc.status;
  readonly reason: string | undefined;
  /** How long the server asks the caller to wait before a retry. */
  readonly retryMillis: number;

  constructor(code: grpc.status, message: string, details: Any[], cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.reason = unpack(details, ErrorInfoSchema)?.reason;
    const delay = unpack(details, RetryInfoSchema)?.retryDelay;
    this.retryMillis = delay ? durationMs(delay) : 0;
    this.name = [grpc.status[code], this.reason].filter(Boolean).join(", ");
  }

  /** Returns the error of a call or a stream, with the details that the server sends in a trailer. */
  static of(status: grpc.StatusObject): RpcError {
    const [bytes] = status.metadata.get("grpc-status-details-bin");
    const details = bytes instanceof Buffer ? protobuf.fromBinary(StatusSchema, bytes).details : [];
    return new RpcError(status.code, status.details, details, status);
  }
}

/** A channel to all addresses of a target; one is enough for a process. */
export class SessionHistoryClient extends grpc.Client {
  readonly #credentials: grpc.CallCredentials;

  constructor(target: string) {
    super(target, channelCredentials(), {
      "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
      "grpc.keepalive_time_ms": KEEPALIVE_MILLIS,
    });
    this.#credentials = callCredentials(target);
  }

  /** Calls a method of the service, or throws an RpcError. */
  call<I extends protobuf.DescMessage, O extends protobuf.DescMessage>(
    method: protobuf.DescMethodUnary<I, O>,
    request: protobuf.MessageInitShape<I>,
    deadline = Date.now() + DEADLINE_MILLIS,
  ): Promise<protobuf.MessageShape<O>> {
    return new Promise((resolve, reject) => {
      this.makeUnaryRequest(
        ...wire(method),
        protobuf.create(method.input, request),
        new grpc.Metadata(),
        { deadline, credentials: this.#credentials },
        (error, response) => (error ? reject(RpcError.of(error)) : resolve(response!)),
      );
    });
  }

  /** Opens a stream in both directions, to which the caller writes encoded messages. */
  protected openStream<I extends protobuf.DescMessage, O extends protobuf.DescMessage>(
    method: protobuf.DescMethodBiDiStreaming<I, O>,
  ): grpc.ClientDuplexStream<Uint8Array, protobuf.MessageShape<O>> {
    const [path, , decode] = wire(method);
    const credentials = this.#credentials;
    return this.makeBidiStreamRequest(path, Buffer.from, decode, new grpc.Metadata(), { credentials });
  }

  /**
   * Stores a message while its pieces arrive, or throws an RpcError. If the pieces end without a
   * finish, the stream breaks, and the service keeps the part that has arrived.
   *
   * If the connection is lost meanwhile, collects the remaining pieces and sends all of them again.
   * Because of the message id in the header, the message is stored once.
   */
  async appendStream(pieces: AsyncIterable<Piece>): Promise<AppendMessageStreamResponse> {
    const deadline = Date.now() + STREAM_DEADLINE_MILLIS;
    const sent: Piece[] = [];
    let source: AsyncIterable<Piece> | Piece[] = remembered(pieces, sent);
    for (let wait = STREAM_WAIT_MILLIS; ; wait *= 2) {
      try {
        return await this.#send(source, deadline);
      } catch (error) {
        if (!(error instanceof RpcError && error.code === grpc.status.UNAVAILABLE)) throw error;
      }
      await setTimeout(wait);
      source = sent;
    }
  }

  async #send(
    pieces: AsyncIterable<Piece> | Piece[],
    deadline: number,
  ): Promise<AppendMessageStreamResponse> {
    const method = SessionHistoryService.method.appendMessageStream;
    let call!: grpc.ClientWritableStream<AppendMessageStreamRequest>;
    const answer = new Promise<AppendMessageStreamResponse>((resolve, reject) => {
      call = this.makeClientStreamRequest(
        ...wire(method),
        new grpc.Metadata(),
        { deadline, credentials: this.#credentials },
        (error, response) => (error ? reject(RpcError.of(error)) : resolve(response!)),
      );
    });
    answer.catch(() => {}); // it is thrown below, after the last piece
    try {
      for await (const piece of pieces) call.write(protobuf.create(method.input, piece));
    } finally {
      call.end();
    }
    return answer;
  }
}

/** Returns the description of a method for gRPC: its path, and how its messages become bytes. */
function wire<I extends protobuf.DescMessage, O extends protobuf.DescMessage>(
  method: protobuf.DescMethod & { input: I; output: O },
) {
  return [
    `/${method.parent.typeName}/${method.name}`,
    (message: protobuf.MessageShape<I>) => Buffer.from(protobuf.toBinary(method.input, message)),
    (bytes: Buffer) => protobuf.fromBinary(method.output, bytes),
  ] as const;
}

async function* remembered<T>(items: AsyncIterable<T>, seen: T[]): AsyncGenerator<T> {
  for await (const item of items) {
    seen.push(item);
    yield item;
  }
}

/** Returns the detail of a type that an error has. */
function unpack<D extends protobuf.DescMessage>(
  details: Any[],
  schema: D,
): protobuf.MessageShape<D> | undefined {
  return details.map((detail) => anyUnpack(detail, schema)).find((found) => found !== undefined);
}
