import { randomUUID } from "node:crypto";

import { CallStreamClient } from "./callstream.ts";
import { RpcError } from "./client.ts";
import { Role } from "./gen/sessionhistory/v1/message_pb.ts";
import { SessionHistoryService } from "./gen/sessionhistory/v1/session_history_service_pb.ts";

const CONVERSATIONS = 300;

/** How long a turn may take, a restart of the server included. */
const TURN_MILLIS = 60_000;

const { method } = SessionHistoryService;
const [address = "127.0.0.1:50051", turns = "5"] = process.argv.slice(2);
const client = new CallStreamClient(address);

async function keep(): Promise<void> {
  const sessionId = `example-${randomUUID()}`;
  for (let number = 0; number < Number(turns); number += 1) {
    await turn(sessionId, number, Date.now() + TURN_MILLIS);
  }
  await client.call(method.deleteSession, { sessionId, allowMissing: true });
}

/** Stores a question and its answer, and counts the turn in the state of the session. */
async function turn(sessionId: string, number: number, deadline: number): Promise<void> {
  const question = {
    sessionId,
    userId: "ada",
    newSession: { labels: { app: "travel" } },
    message: { messageId: randomUUID(), role: Role.USER, content: `And on day ${number}?` },
    history: { maxMessages: 20 },
  };
  const asked = await client.call(method.appendMessage, question, deadline);
  const content = `On day ${number} it is sunny.`;
  const answer = { messageId: randomUUID(), role: Role.ASSISTANT, content };
  const answered = await client.call(method.appendMessage, { sessionId, message: answer }, deadline);
  const sequences = [asked.message?.sequence, answered.message?.sequence].map(Number);
  if (sequences[0] !== 2 * number + 1 || sequences[1] !== 2 * number + 2) {
    throw new Error(`the messages of turn ${number} have the sequences ${sequences}`);
  }
  await count(sessionId, BigInt(number), deadline);
}

/**
 * Changes the state only if it has the expected version. So a repeat has no second effect: it finds the version
 * that the first attempt has made, because this conversation alone changes the state.
 */
async function count(sessionId: string, number: bigint, deadline: number): Promise<void> {
  const change = { sessionId, patch: `{"turns": ${number + 1n}}`, expectedStateVersion: number };
  try {
    await client.call(method.updateState, change, deadline);
  } catch (error) {
    if (!(error instanceof RpcError && error.reason === "STATE_VERSION_MISMATCH")) throw error;
    const { session } = await client.call(method.getSession, { sessionId }, deadline);
    if (session?.stateVersion !== number + 1n) throw error;
  }
}

try {
  await Promise.all(Array.from({ length: CONVERSATIONS }, keep));
  const kept = `kept ${CONVERSATIONS} conversations of ${turns} turns`;
  console.log(`${kept}: each message is stored once, in order`);
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
} finally {
  client.close();
}
