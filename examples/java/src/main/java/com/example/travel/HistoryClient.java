package com.example.travel;

import static java.util.Map.entry;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.sessionhistory.v1.SessionHistoryServiceGrpc;
import io.sessionhistory.v1.SessionHistoryServiceGrpc.SessionHistoryServiceBlockingStub;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A channel to all addresses of a target. Its calls are retried while a server is unavailable. */
final class HistoryClient implements AutoCloseable {
  private static final long DEADLINE_SECONDS = 5;

  // All numbers are doubles, as in JSON.
  private static final Map<String, ?> RETRY_POLICY =
      Map.ofEntries(
          entry("maxAttempts", 5.0),
          entry("initialBackoff", "0.2s"),
          entry("maxBackoff", "2s"),
          entry("backoffMultiplier", 2.0),
          entry("retryableStatusCodes", List.of("UNAVAILABLE")));

  private static final Map<String, ?> METHOD_CONFIG =
      Map.ofEntries(
          entry("name", List.of(Map.of("service", SessionHistoryServiceGrpc.SERVICE_NAME))),
          entry("retryPolicy", RETRY_POLICY));

  private static final Map<String, ?> SERVICE_CONFIG =
      Map.ofEntries(
          entry("loadBalancingConfig", List.of(Map.of("round_robin", Map.of()))),
          entry("methodConfig", List.of(METHOD_CONFIG)));

  private final ManagedChannel channel;
  private final SessionHistoryServiceBlockingStub stub;

  HistoryClient(String target) {
    // For TLS: TlsChannelCredentials.create().
    channel =
        Grpc.newChannelBuilder(target, InsecureChannelCredentials.create())
            .defaultServiceConfig(SERVICE_CONFIG)
            .build();
    stub = SessionHistoryServiceGrpc.newBlockingStub(channel);
  }

  /** Returns a stub for one call: a stub's deadline is a point in time, so each needs its own. */
  SessionHistoryServiceBlockingStub call() {
    return stub.withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS);
  }

  @Override
  public void close() {
    channel.shutdown();
  }

  /** Names an error's code and, if the service itself refused the call, its reason. */
  static String describe(StatusRuntimeException error) {
    String code = error.getStatus().getCode().name();
    try {
      for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          return code + ", " + detail.unpack(ErrorInfo.class).getReason();
        }
      }
    } catch (InvalidProtocolBufferException e) {
      return code; // somebody else's details, and broken ones
    }
    return code;
  }
}
