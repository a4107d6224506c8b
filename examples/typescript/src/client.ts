import * as protobuf from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";

import { ErrorInfoSchema, StatusSchema } from "./gen/google/rpc/error_pb.js";
import { SessionHistoryService } from "./gen/sessionhistory/v1/session_history_service_pb.js";

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
  constructor(target: string) {
    // For TLS: grpc.credentials.createSsl().
    super(target, grpc.credentials.createInsecure(), {
      "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
    });
  }

  /** Calls a method of the service, or throws an RpcError. */
  call<I extends protobuf.DescMessage, O extends protobuf.DescMessage>(
    method: protobuf.DescMethodUnary<I, O>,
    request: protobuf.MessageInitShape<I>,
  ): Promise<protobuf.MessageShape<O>> {
    return new Promise((resolve, reject) => {
      this.makeUnaryRequest(
        `/${method.parent.typeName}/${method.name}`,
        (message: protobuf.MessageShape<I>) =>
          Buffer.from(protobuf.toBinary(method.input, message)),
        (bytes) => protobuf.fromBinary(method.output, bytes),
        protobuf.create(method.input, request),
        new grpc.Metadata(),
        { deadline: Date.now() + DEADLINE_MILLIS },
        (error, response) => (error ? reject(new RpcError(error)) : resolve(response!)),
      );
    });
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
