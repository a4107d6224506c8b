package com.example.travel;

import static java.util.Map.entry;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import io.sessionhistory.v1.AppendMessageStreamRequest;
import io.sessionhistory.v1.AppendMessageStreamResponse;
import io.sessionhistory.v1.SessionHistoryServiceGrpc;
import io.sessionhistory.v1.SessionHistoryServiceGrpc.SessionHistoryServiceBlockingStub;
import io.sessionhistory.v1.SessionHistoryServiceGrpc.SessionHistoryServiceStub;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;

/** A channel to all addresses of a target. Its calls are retried while a server is unavailable. */
final class HistoryClient implements AutoCloseable {
  private static final long DEADLINE_SECONDS = 5;
  private static final long STREAM_DEADLINE_SECONDS = 300; // a model takes its time
  private static final long STREAM_WAIT_MILLIS = 200;

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
  private final SessionHistoryServiceStub streams;

  HistoryClient(String target) throws IOException {
    channel =
        Grpc.newChannelBuilder(target, Credentials.ofChannel())
            .defaultServiceConfig(SERVICE_CONFIG)
            .build();
    var key = Credentials.ofCalls();
    stub = SessionHistoryServiceGrpc.newBlockingStub(channel).withCallCredentials(key);
    streams = SessionHistoryServiceGrpc.newStub(channel).withCallCredentials(key);
  }

  /** Returns a stub for one call: a stub's deadline is a point in time, so each needs its own. */
  SessionHistoryServiceBlockingStub call() {
    return stub.withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS);
  }

  /**
   * Stores a message while its pieces arrive: a header, deltas, a finish. If the pieces end without
   * a finish, the stream breaks, and the service keeps the part that has arrived.
   *
   * <p>If the connection is lost meanwhile, collects the remaining pieces and sends all of them
   * again. Because of the message id in the header, the message is stored once.
   */
  AppendMessageStreamResponse appendStream(Iterator<AppendMessageStreamRequest> pieces)
      throws InterruptedException {
    var deadline = Deadline.after(STREAM_DEADLINE_SECONDS, TimeUnit.SECONDS);
    var sent = new ArrayList<AppendMessageStreamRequest>();
    for (long wait = STREAM_WAIT_MILLIS; ; wait *= 2) {
      try {
        return send(sent, pieces, deadline);
      } catch (StatusRuntimeException e) {
        if (e.getStatus().getCode() != Status.Code.UNAVAILABLE) {
          throw e;
        }
      }
      Thread.sleep(wait);
    }
  }

  /** Sends the earlier pieces again, and then the next ones. */
  private AppendMessageStreamResponse send(
      List<AppendMessageStreamRequest> sent,
      Iterator<AppendMessageStreamRequest> pieces,
      Deadline deadline) {
    var answer = new Answer();
    var requests = streams.withDeadline(deadline).appendMessageStream(answer);
    try {
      sent.forEach(requests::onNext);
      while (pieces.hasNext()) {
        sent.add(pieces.next());
        requests.onNext(sent.get(sent.size() - 1));
      }
    } finally {
      requests.onCompleted();
    }
    return answer.get();
  }

  /** The one response of a call. */
  private static final class Answer implements StreamObserver<AppendMessageStreamResponse> {
    private final CompletableFuture<AppendMessageStreamResponse> response =
        new CompletableFuture<>();

    @Override
    public void onNext(AppendMessageStreamResponse value) {
      response.complete(value);
    }

    @Override
    public void onError(Throwable error) {
      response.completeExceptionally(error);
    }

    @Override
    public void onCompleted() {}

    AppendMessageStreamResponse get() {
      try {
        return response.join();
      } catch (CompletionException e) {
        throw (StatusRuntimeException) e.getCause();
      }
    }
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
      return code; // the details of a proxy, and broken ones
    }
    return code;
  }
}
