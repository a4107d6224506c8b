package com.example.travel;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.sessionhistory.v1.AppendMessageRequest;
import io.sessionhistory.v1.AppendMessageStreamHeader;
import io.sessionhistory.v1.AppendMessagesRequest;
import io.sessionhistory.v1.CreateSessionRequest;
import io.sessionhistory.v1.DeleteSessionRequest;
import io.sessionhistory.v1.GetHistoryRequest;
import io.sessionhistory.v1.HistoryOptions;
import io.sessionhistory.v1.ListMessagesRequest;
import io.sessionhistory.v1.ListMessagesResponse;
import io.sessionhistory.v1.Message;
import io.sessionhistory.v1.Role;
import io.sessionhistory.v1.SessionFields;
import io.sessionhistory.v1.ToolCall;
import java.io.IOException;
import java.util.List;
import java.util.UUID;
import java.util.stream.Collectors;

/** Keeps a conversation about a trip in Session History. */
public final class Travel {
  private final HistoryClient history;
  private final String sessionId = "example-" + UUID.randomUUID();

  private Travel(HistoryClient history) {
    this.history = history;
  }

  public static void main(String[] args) throws InterruptedException, IOException {
    try (var history = new HistoryClient(args.length > 0 ? args[0] : "127.0.0.1:50051")) {
      new Travel(history).run();
    } catch (StatusRuntimeException e) {
      System.err.println(HistoryClient.describe(e) + ": " + e.getStatus().getDescription());
      System.exit(1);
    }
  }

  private void run() throws InterruptedException {
    create();
    ask();
    answer();
    look();
    list();
    reply();
    intrude();
    delete();
  }

  private void create() {
    var create =
        CreateSessionRequest.newBuilder()
            .setSessionId(sessionId)
            .setUserId("ada")
            .setSession(SessionFields.newBuilder().putLabels("app", "travel"))
            .setAllowExisting(true) // a retry finds the session that the first attempt has made
            .build();
    history.call().createSession(create);
    System.out.println("created session " + sessionId);

    var append =
        AppendMessageRequest.newBuilder()
            .setSessionId(sessionId)
            .setMessage(message(Role.ROLE_SYSTEM).setContent("You plan trips.").setPinned(true))
            .build();
    history.call().appendMessage(append);
  }

  /** Stores a question and gets the context for the model in the same round trip. */
  private void ask() {
    var request =
        AppendMessageRequest.newBuilder()
            .setSessionId(sessionId)
            .setMessage(message(Role.ROLE_USER).setContent("What is the weather in Rome?"))
            .setHistory(HistoryOptions.newBuilder().setMaxMessages(20).setTokenBudget(4000))
            .build();
    var stored = history.call().appendMessage(request);
    var context = stored.getHistory();
    System.out.printf(
        "stored message %d, the context has %d messages, %d tokens:%n",
        stored.getMessage().getSequence(), context.getMessagesCount(), context.getTotalTokens());
    context.getMessagesList().forEach(Travel::print);
  }

  /** Stores a tool call, its result and the answer: all or nothing. */
  private void answer() {
    var weather =
        ToolCall.newBuilder().setId("c1").setName("weather").setArguments("{\"city\":\"Rome\"}");
    var request =
        AppendMessagesRequest.newBuilder()
            .setSessionId(sessionId)
            .addMessages(message(Role.ROLE_ASSISTANT).addToolCalls(weather))
            .addMessages(
                message(Role.ROLE_TOOL).setToolCallId("c1").setContent("24 degrees, sunny"))
            .addMessages(message(Role.ROLE_ASSISTANT).setContent("Sunny, 24 degrees."))
            .build();
    var stored = history.call().appendMessages(request);
    long first = stored.getMessages(0).getSequence();
    long last = stored.getMessages(stored.getMessagesCount() - 1).getSequence();
    System.out.printf("stored messages %d to %d%n", first, last);
  }

  private void look() {
    var request =
        GetHistoryRequest.newBuilder()
            .setSessionId(sessionId)
            .setUserId("ada")
            .setMaxMessages(4)
            .build();
    var window = history.call().getHistory(request).getHistory();
    System.out.printf(
        "the newest that fit 4 messages, %d left out:%n", window.getOmittedMessageCount());
    window.getMessagesList().forEach(Travel::print);
  }

  private void list() {
    int messages = 0;
    int pages = 0;
    var request = ListMessagesRequest.newBuilder().setSessionId(sessionId).setPageSize(2);
    ListMessagesResponse page;
    do {
      page = history.call().listMessages(request.build());
      messages += page.getMessagesCount();
      pages++;
      request.setPageToken(page.getNextPageToken());
    } while (!page.getNextPageToken().isEmpty());
    System.out.printf("listed %d messages in %d pages%n", messages, pages);
  }

  /**
   * Stores an answer while the model generates it. If the model breaks off, the service keeps the
   * part as INTERRUPTED. The next answer has the same message id, and replaces it.
   */
  private void reply() throws InterruptedException {
    var question =
        AppendMessageRequest.newBuilder()
            .setSessionId(sessionId)
            .setMessage(message(Role.ROLE_USER).setContent("What do I pack?"))
            .build();
    history.call().appendMessage(question);
    var header =
        AppendMessageStreamHeader.newBuilder()
            .setSessionId(sessionId)
            .setMessage(message(Role.ROLE_ASSISTANT))
            .build();
    for (var model : List.of(Model.BROKEN, Model.WHOLE)) {
      var stored = history.appendStream(Model.pieces(header, model)).getMessage();
      String state = stored.getStatus().name().replace("MESSAGE_STATUS_", "");
      System.out.printf(
          "streamed message %d, %s: %s%n", stored.getSequence(), state, stored.getContent());
    }
  }

  /** Asks for the session as another user, for whom it does not exist. */
  private void intrude() {
    var request = GetHistoryRequest.newBuilder().setSessionId(sessionId).setUserId("eve").build();
    try {
      history.call().getHistory(request);
    } catch (StatusRuntimeException e) {
      if (e.getStatus().getCode() != Status.Code.NOT_FOUND) {
        throw e;
      }
      System.out.println("as another user: " + HistoryClient.describe(e));
      return;
    }
    throw new IllegalStateException("another user may read the session");
  }

  private void delete() {
    var request =
        DeleteSessionRequest.newBuilder()
            .setSessionId(sessionId)
            .setAllowMissing(true) // a retry finds nothing if the first attempt has deleted it
            .build();
    history.call().deleteSession(request);
    System.out.println("deleted");
  }

  /**
   * Begins a message. Its id is made before the call. So the call is safe to retry: if the first
   * attempt has stored the message, the service returns it and stores nothing.
   */
  private static Message.Builder message(Role role) {
    return Message.newBuilder().setMessageId(UUID.randomUUID().toString()).setRole(role);
  }

  private static void print(Message message) {
    String role = message.getRole().name().replace("ROLE_", "");
    System.out.printf("  %d %s: %s%n", message.getSequence(), role, text(message));
  }

  private static String text(Message message) {
    if (message.hasContent()) {
      return message.getContent();
    }
    return message.getToolCallsList().stream()
        .map(call -> call.getName() + "(" + call.getArguments() + ")")
        .collect(Collectors.joining(", ", "calls ", ""));
  }
}
