import { setTimeout as sleep } from "node:timers/promises";

import * as protobuf from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";

import { DEADLINE_MILLIS, RpcError, SessionHistoryClient } from "./client.ts";
import {
  type CallOutcome,
  CallStreamRequestSchema,
  type CallStreamResponse,
  SessionHistoryService,
  type StreamedCall,
  StreamedCallSchema,
} from "./gen/sessionhistory/v1/session_history_service_pb.ts";

/** The calls in progress on a stream, from sending to outcome, and those of one session. */
const MAX_CALLS = 256;
const MAX_CALLS_OF_SESSION = 64;

/** The size of a message that has several calls. */
const MAX_BYTES = 2 ** 20;

const FIRST_WAIT_MILLIS = 200;
const LONGEST_WAIT_MILLIS = 2_000;

/** How late an outcome may be. Then its stream counts as broken. */
const LATENESS_MILLIS = 1_000;

/** For how long calls are unary if the server does not know CallStream. */
const UNARY_MILLIS = 60_000;

/** The codes of streams that were not refused. */
const BROKEN = [grpc.status.OK, grpc.status.CANCELLED, grpc.status.INTERNAL, grpc.status.UNKNOWN];

type Request = StreamedCall["request"];
type Duplex = grpc.ClientDuplexStream<Uint8Array, CallStreamResponse>;

/**
 * Makes calls over one stream that stays open; they are unary if CallStream does not have their method. Calls
 * that are not awaited one by one may be carried out in any order if the stream breaks.
 */
export class CallStreamClient extends SessionHistoryClient {
  readonly #room = new Room(MAX_CALLS);
  readonly #rooms = new Map<string, Room>();
  #stream: Stream | undefined;
  #unaryUntil = 0;

  /** Makes a call, and until its deadline repeats it if it may; or throws an RpcError. */
  override async call<I extends protobuf.DescMessage, O extends protobuf.DescMessage>(
    method: protobuf.DescMethodUnary<I, O>,
    init: protobuf.MessageInitShape<I>,
    deadline = Date.now() + DEADLINE_MILLIS,
  ): Promise<protobuf.MessageShape<O>> {
    const isStreamed = StreamedCallSchema.fields.some((field) => field.message === method.input);
    const value: protobuf.Message = protobuf.create(method.input, init);
    const request = { case: method.localName, value } as Request; // the names are those of the methods
    for (let wait = FIRST_WAIT_MILLIS; isStreamed && Date.now() >= this.#unaryUntil; wait *= 2) {
      try {
        return (await this.#attempt(request, deadline)) as protobuf.MessageShape<O>;
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        if (error.code === grpc.status.UNIMPLEMENTED) {
          // Else it is the stream that the server or a proxy does not know.
          if (error.reason !== "METHOD_UNKNOWN") this.#unaryUntil = Date.now() + UNARY_MILLIS;
          break;
        }
        const pause = Math.max(Math.min(wait, LONGEST_WAIT_MILLIS), error.retryMillis);
        if (!mayRepeat(request, error) || Date.now() + pause > deadline) throw error;
        await sleep(pause);
      }
    }
    return super.call(method, init, deadline);
  }

  /** Ends the stream after its calls. */
  override close(): void {
    this.#stream?.retire();
    super.close();
  }

  /** Makes a call once, and waits for its outcome until its deadline. */
  #attempt(request: Request, deadline: number): Promise<protobuf.Message> {
    return new Promise((resolve, reject) => {
      const expire = () =>
        reject(new RpcError(grpc.status.DEADLINE_EXCEEDED, "the call has no outcome yet", []));
      const timer = setTimeout(expire, deadline - Date.now());
      this.#send(request, deadline)
        .then(resolve, reject)
        .finally(() => clearTimeout(timer));
    });
  }

  /** Sends a call when there is room for it. It keeps the room until its outcome, even if its caller gives up. */
  async #send(request: Request, deadline: number): Promise<protobuf.Message> {
    const session = request.value?.sessionId ?? "";
    const lane = this.#rooms.get(session) ?? new Room(MAX_CALLS_OF_SESSION);
    this.#rooms.set(session, lane);
    await lane.take();
    await this.#room.take();
    try {
      this.#stream ??= this.#open();
      return await this.#stream.send(request, deadline - Date.now());
    } finally {
      this.#room.give();
      lane.give();
      if (lane.isUnused) this.#rooms.delete(session);
    }
  }

  #open(): Stream {
    const rpc = this.openStream(SessionHistoryService.method.callStream);
    return new Stream(rpc, () => (this.#stream = undefined));
  }
}

/** A stream: it numbers the calls, and finds the call of each outcome. */
class Stream {
  readonly #rpc: Duplex;
  readonly #onRetire: () => void;
  readonly #pending = new Map<number, (outcome: CallOutcome["outcome"] | RpcError) => void>();
  #queue: StreamedCall[] = [];
  #last = 0;
  #isOpen = false;
  #isRetired = false;

  constructor(rpc: Duplex, onRetire: () => void) {
    this.#rpc = rpc;
    this.#onRetire = onRetire;
    rpc.on("data", (response: CallStreamResponse) => {
      this.#isOpen = true;
      if (response.ending) this.retire();
      for (const { number, outcome } of response.outcomes) this.#pending.get(number)?.(outcome);
    });
    rpc.on("error", () => {}); // "status" has it, too
    rpc.on("status", (status: grpc.StatusObject) => this.#end(status));
  }

  /** Sends a call, together with those that begin in the same turn of the event loop. */
  async send(request: Request, timeout: number): Promise<protobuf.Message> {
    if (timeout <= 0) throw new RpcError(grpc.status.DEADLINE_EXCEEDED, "the call was not sent", []);
    const number = ++this.#last;
    if (this.#queue.length === 0) setImmediate(() => this.#flush());
    this.#queue.push(
      protobuf.create(StreamedCallSchema, { number, timeout: durationFromMs(timeout), request }),
    );
    const timer = setTimeout(() => this.#rpc.cancel(), timeout + LATENESS_MILLIS);
    const outcome = await new Promise<CallOutcome["outcome"] | RpcError>((resolve) =>
      this.#pending.set(number, resolve),
    );
    clearTimeout(timer);
    this.#pending.delete(number);
    if (outcome instanceof RpcError) throw outcome;
    if (outcome.case === "error") {
      const { code, message, details } = outcome.value;
      const { UNAUTHENTICATED, UNAVAILABLE } = grpc.status;
      const hasExpired = code === UNAUTHENTICATED; // the stream's key; another stream has the next one
      throw new RpcError(hasExpired ? UNAVAILABLE : code, message, details);
    }
    return outcome.value!;
  }

  /** Takes no more calls. The server answers all that it has read. */
  retire(): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    this.#onRetire();
    this.#flush();
    this.#rpc.end();
  }

  #flush(): void {
    if (this.#queue.length > 0) this.#write(this.#queue);
    this.#queue = [];
  }

  #write(calls: StreamedCall[]): void {
    const request = protobuf.create(CallStreamRequestSchema, { calls });
    const bytes = protobuf.toBinary(CallStreamRequestSchema, request);
    if (bytes.length <= MAX_BYTES || calls.length === 1) {
      this.#rpc.write(bytes);
      return;
    }
    const half = Math.ceil(calls.length / 2);
    this.#write(calls.slice(0, half));
    this.#write(calls.slice(half));
  }

  /** Fails the calls without an outcome. They may or may not have been carried out. */
  #end(status: grpc.StatusObject): void {
    this.retire();
    const { UNAUTHENTICATED, UNAVAILABLE } = grpc.status;
    const hasExpired = this.#isOpen && status.code === UNAUTHENTICATED; // the key of the stream
    const isBroken = hasExpired || BROKEN.includes(status.code);
    const error = isBroken ? new RpcError(UNAVAILABLE, status.details, []) : RpcError.of(status);
    for (const resolve of this.#pending.values()) resolve(error);
  }
}

/** Room for some calls; others wait in order. */
class Room {
  readonly #size: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(size: number) {
    this.#size = size;
  }

  get isUnused(): boolean {
    return this.#taken === 0;
  }

  async take(): Promise<void> {
    this.#taken += 1;
    if (this.#taken > this.#size) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    this.#taken -= 1;
    this.#waiting.shift()?.();
  }
}

/**
 * Returns whether a call that failed may succeed now, and had no effect or can have it only once: the server knows
 * a message by its id, and a change of the state by the version that it expects.
 */
function mayRepeat(request: Request, error: RpcError): boolean {
  if (error.reason === "STREAM_FULL" || error.reason === "STREAM_ENDING") return true;
  if (error.code !== grpc.status.UNAVAILABLE) return false;
  switch (request.case) {
    case "appendMessage":
      return Boolean(request.value.message?.messageId);
    case "appendMessages":
      return request.value.messages.every((message) => message.messageId);
    case "updateState":
      return request.value.expectedStateVersion !== undefined;
    default:
      return true;
  }
}
