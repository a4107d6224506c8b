package com.example.travel;

import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.concurrent.Executor;

/** The credentials that the environment names. */
final class Credentials {
  private Credentials() {}

  /** Returns TLS with the files that the environment names, else plaintext. */
  static ChannelCredentials ofChannel() throws IOException {
    String ca = System.getenv("SESSION_HISTORY_CA");
    if (ca == null) {
      return InsecureChannelCredentials.create();
    }
    var tls = TlsChannelCredentials.newBuilder().trustManager(new File(ca));
    String cert = System.getenv("SESSION_HISTORY_CERT");
    if (cert != null) {
      tls.keyManager(new File(cert), new File(System.getenv("SESSION_HISTORY_KEY")));
    }
    return tls.build();
  }

  /** Returns an API key, or the token in a file that another program renews; null: neither. */
  static CallCredentials ofCalls() {
    String key = System.getenv("SESSION_HISTORY_API_KEY");
    String file = System.getenv("SESSION_HISTORY_API_KEY_FILE");
    if (key != null) {
      return new Bearer(() -> key);
    }
    return file == null ? null : new Bearer(() -> Files.readString(Path.of(file)).strip());
  }

  /** Sends a key with each call. gRPC asks for it before each attempt, so that a token can be renewed. */
  private static final class Bearer extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final Callable<String> key;

    Bearer(Callable<String> key) {
      this.key = key;
    }

    @Override
    public void applyRequestMetadata(RequestInfo call, Executor executor, MetadataApplier applier) {
      executor.execute(
          () -> {
            try {
              applier.apply(headers(call));
            } catch (Exception e) {
              applier.fail(Status.UNAUTHENTICATED.withDescription(e.toString()).withCause(e));
            }
          });
    }

    private Metadata headers(RequestInfo call) throws Exception {
      if (!isPrivate(call)) {
        throw new IOException("the key would be sent in plain text to another machine");
      }
      var headers = new Metadata();
      headers.put(AUTHORIZATION, "Bearer " + key.call());
      return headers;
    }

    private static boolean isPrivate(RequestInfo call) {
      var peer = call.getTransportAttrs().get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR);
      return call.getSecurityLevel() == SecurityLevel.PRIVACY_AND_INTEGRITY
          || peer instanceof InetSocketAddress address && address.getAddress().isLoopbackAddress();
    }
  }
}
