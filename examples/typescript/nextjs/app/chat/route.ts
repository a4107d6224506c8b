import { randomUUID } from "node:crypto";

import { SessionHistoryClient } from "../../../src/client.ts";
import { Role } from "../../../src/gen/sessionhistory/v1/message_pb.ts";
import * as service from "../../../src/gen/sessionhistory/v1/session_history_service_pb.ts";
import { pieces, whole } from "../../../src/reply.ts";

const { method } = service.SessionHistoryService;
const client = new SessionHistoryClient(process.env.SESSION_HISTORY_ADDRESS!);

/** Stores a message; then streams the answer to the browser and into the session. */
export async function POST(request: Request): Promise<Response> {
  const { sessionId, messageId, content } = await request.json();
  const session = { sessionId, userId: "ada" }; // as your login says, never as the browser says
  await client.call(method.appendMessage, {
    ...session,
    message: { messageId, role: Role.USER, content },
    newSession: {},
    history: {}, // returns the context for the model
  });

  const body = new ReadableStream<string>({
    async start(browser) {
      async function* shown() {
        for await (const chunk of whole()) {
          if (request.signal.aborted) return; // without a finish: the part that the browser got is kept
          browser.enqueue(chunk.text);
          yield chunk;
        }
      }
      const header = { ...session, message: { messageId: randomUUID() } };
      await client.appendStream(pieces(header, shown()));
      browser.close();
    },
  });
  return new Response(body.pipeThrough(new TextEncoderStream()));
}
