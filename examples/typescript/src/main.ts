import { randomUUID } from "node:crypto";

import { RpcError, SessionHistoryClient } from "./client.ts";
import type { History } from "./gen/sessionhistory/v1/history_pb.ts";
import { MessageStatus, Role } from "./gen/sessionhistory/v1/message_pb.ts";
import { SessionHistoryService } from "./gen/sessionhistory/v1/session_history_service_pb.ts";
import { broken, pieces, whole } from "./reply.ts";

const { method } = SessionHistoryService;
const client = new SessionHistoryClient(process.argv[2] ?? "127.0.0.1:50051");

// Sessions and messages get their ids here, before the calls. So a retry stores nothing twice: the
// service recognises the id from the first attempt.
const sessionId = `example-${randomUUID()}`;

async function create(): Promise<void> {
  await client.call(method.createSession, {
    sessionId,
    userId: "ada",
    session: { labels: { app: "travel" } },
    allowExisting: true,
  });
  console.log(`created session ${sessionId}`);
  await client.call(method.appendMessage, {
    sessionId,
    message: {
      messageId: randomUUID(),
      role: Role.SYSTEM,
      content: "You plan trips.",
      pinned: true,
    },
  });
}

/** Stores a question and gets the context for the model in the same round trip. */
async function ask(content: string): Promise<void> {
  const { message, history } = await client.call(method.appendMessage, {
    sessionId,
    message: { messageId: randomUUID(), role: Role.USER, content },
    history: { maxMessages: 20, tokenBudget: 4000 },
  });
  console.log(
    `stored message ${message?.sequence}, the context has ${history?.messages.length} messages, ` +
      `${history?.totalTokens} tokens:`,
  );
  show(history);
}

/** Stores a tool call, its result and the answer: all or nothing. */
async function answer(): Promise<void> {
  const call = { id: "c1", name: "weather", arguments: '{"city":"Rome"}' };
  const { messages } = await client.call(method.appendMessages, {
    sessionId,
    messages: [
      { messageId: randomUUID(), role: Role.ASSISTANT, toolCalls: [call] },
      {
        messageId: randomUUID(),
        role: Role.TOOL,
        toolCallId: call.id,
        content: "24 degrees, sunny",
      },
      { messageId: randomUUID(), role: Role.ASSISTANT, content: "Sunny, 24 degrees." },
    ],
  });
  console.log(`stored messages ${messages.at(0)?.sequence} to ${messages.at(-1)?.sequence}`);
}

async function look(): Promise<void> {
  const { history } = await client.call(method.getHistory, {
    sessionId,
    userId: "ada",
    maxMessages: 4,
  });
  console.log(`the newest that fit 4 messages, ${history?.omittedMessageCount} left out:`);
  show(history);
}

async function list(): Promise<void> {
  let messages = 0;
  let pages = 0;
  let pageToken = "";
  do {
    const page = await client.call(method.listMessages, { sessionId, pageSize: 2, pageToken });
    messages += page.messages.length;
    pages += 1;
    pageToken = page.nextPageToken;
  } while (pageToken);
  console.log(`listed ${messages} messages in ${pages} pages`);
}

/**
 * Stores an answer while the model generates it. If the model breaks off, the service keeps the
 * part as INTERRUPTED. The next answer has the same message id, and replaces it.
 */
async function reply(): Promise<void> {
  await client.call(method.appendMessage, {
    sessionId,
    message: { messageId: randomUUID(), role: Role.USER, content: "What do I pack?" },
  });
  const messageId = randomUUID();
  for (const model of [broken, whole]) {
    const answer = pieces({ sessionId, message: { messageId } }, model());
    const { message } = await client.appendStream(answer);
    const state = MessageStatus[message!.status];
    console.log(`streamed message ${message?.sequence}, ${state}: ${message?.content}`);
  }
}

/** Asks for the session as another user, for whom it does not exist. */
async function intrude(): Promise<void> {
  try {
    await client.call(method.getHistory, { sessionId, userId: "eve" });
  } catch (error) {
    if (!(error instanceof RpcError && error.reason === "SESSION_NOT_FOUND")) throw error;
    console.log(`as another user: ${error.name}`);
    return;
  }
  throw new Error("another user may read the session");
}

function show(history: History | undefined): void {
  for (const { sequence, role, content, toolCalls } of history?.messages ?? []) {
    const calls = toolCalls.map((call) => `${call.name}(${call.arguments})`).join(", ");
    console.log(`  ${sequence} ${Role[role]}: ${content ?? `calls ${calls}`}`);
  }
}

try {
  await create();
  await ask("What is the weather in Rome?");
  await answer();
  await look();
  await list();
  await reply();
  await intrude();
  await client.call(method.deleteSession, { sessionId, allowMissing: true });
  console.log("deleted");
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
} finally {
  client.close();
}
