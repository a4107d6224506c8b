/** Converts messages of Session History to requests of the APIs of models, and their answers to messages. */

export * as anthropic from "./anthropic.ts";
export * as gemini from "./gemini.ts";
export * as openaiChat from "./openai_chat.ts";
export * as openaiResponses from "./openai_responses.ts";
export type * from "./types.ts";
