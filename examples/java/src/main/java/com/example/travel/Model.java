package com.example.travel;

import io.sessionhistory.v1.AppendMessageStreamDelta;
import io.sessionhistory.v1.AppendMessageStreamFinish;
import io.sessionhistory.v1.AppendMessageStreamHeader;
import io.sessionhistory.v1.AppendMessageStreamRequest;
import io.sessionhistory.v1.Usage;
import java.util.Iterator;
import java.util.List;
import java.util.stream.Stream;

/** Stands for a model that streams its answers. */
final class Model {
  /** Text; or at the end, with a finish reason, the tokens that the model used. */
  record Chunk(String text, String finishReason, int outputTokens) {
    Chunk(String text) {
      this(text, "", 0);
    }

    private AppendMessageStreamRequest piece() {
      var piece = AppendMessageStreamRequest.newBuilder();
      if (finishReason.isEmpty()) {
        return piece.setDelta(AppendMessageStreamDelta.newBuilder().setText(text)).build();
      }
      var finish =
          AppendMessageStreamFinish.newBuilder()
              .setFinishReason(finishReason)
              .setUsage(Usage.newBuilder().setOutputTokens(outputTokens));
      return piece.setFinish(finish).build();
    }
  }

  /** The model breaks off. */
  static final List<Chunk> BROKEN = List.of(new Chunk("Light clothes"), new Chunk(" and"));

  static final List<Chunk> WHOLE =
      List.of(
          new Chunk("Light clothes"),
          new Chunk(" and"),
          new Chunk(" a hat."),
          new Chunk("", "stop", 6));

  private Model() {}

  /** Makes a message of the pieces that a model streams. */
  static Iterator<AppendMessageStreamRequest> pieces(
      AppendMessageStreamHeader header, List<Chunk> chunks) {
    var first = AppendMessageStreamRequest.newBuilder().setHeader(header).build();
    return Stream.concat(Stream.of(first), chunks.stream().map(Chunk::piece)).iterator();
  }
}
