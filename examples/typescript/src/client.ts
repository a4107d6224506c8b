import { setTimeout } from "node:timers/promises";

import * as protobuf from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";

import { callCredentials, channelCredentials } from "./credentials.ts";
import { ErrorInfoSchema, StatusSchema } from "./gen/google/rpc/error_pb.ts";
import type {
  AppendMessageStreamRequest,
  AppendMessageStreamRequestSchema,
  AppendMessageStreamResponse,
} from "./gen/sessionhistory/v1/append_message_stream_pb.ts";
import { SessionHistoryService } from "./gen/sessionhistory/v1/session_history_service_pb.ts";

/** How long a call may take, with all its retries. */
const DEADLINE_MILLIS = 5_000;

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

  constructor(cause: grpc.ServiceError) {
    super(cause.details, { cause });
    this.code = cause.code;
    this.reason = reasonOf(cause);
    this.name = [grpc.status[this.code], this.reason].filter(Boolean).join(", ");
  }
}

/** A channel to all addresses of a target; one is enough for a process. */
export class SessionHistoryClient extends grpc.Client {
  readonly #credentials: grpc.CallCredentials;

  constructor(target: string) {
    super(target, channelCredentials(), {
      "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
    });
    this.#credentials = callCredentials(target);
  }

  /** Calls a method of the service, or throws an RpcError. */
  call<I extends protobuf.DescMessage, O extends protobuf.DescMessage>(
    method: protobuf.DescMethodUnary<I, O>,
    request: protobuf.MessageInitShape<I>,
  ): Promise<protobuf.MessageShape<O>> {
    return new Promise((resolve, reject) => {
      this.makeUnaryRequest(
        ...wire(method),
        protobuf.create(method.input, request),
        new grpc.Metadata(),
        { deadline: Date.now() + DEADLINE_MILLIS, credentials: this.#credentials },
        (error, response) => (error ? reject(new RpcError(error)) : resolve(response!)),
      );
    });
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
        (error, response) => (error ? reject(new RpcError(error)) : resolve(response!)),
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

/** Finds the reason in the google.rpc.ErrorInfo that the server sends with each of its errors. */
function reasonOf(error: grpc.ServiceError): string | undefined {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  if (!(bytes instanceof Buffer)) return undefined;
  return protobuf
    .fromBinary(StatusSchema, bytes)
    .details.map((detail) => anyUnpack(detail, ErrorInfoSchema))
    .find((info) => info !== undefined)?.reason;
}
