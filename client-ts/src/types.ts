/**
 * The messages of Session History in the JSON form of protobuf, as protobuf-es's `toJson` returns it and
 * `fromJson` takes it. Absent fields have their default values.
 *
 * They are types and no interfaces, because `fromJson` takes no interface.
 */

/** A JSON value, as `JSON.parse` returns it. */
export type Json = null | boolean | number | string | Json[] | JsonObject;

export type JsonObject = {
  [name: string]: Json;
};

/** The author of a message. */
export type Role =
  | "ROLE_UNSPECIFIED"
  | "ROLE_SYSTEM"
  | "ROLE_DEVELOPER"
  | "ROLE_USER"
  | "ROLE_ASSISTANT"
  | "ROLE_TOOL";

export type MessageStatus =
  | "MESSAGE_STATUS_UNSPECIFIED"
  | "MESSAGE_STATUS_COMPLETE"
  | "MESSAGE_STATUS_INTERRUPTED";

/** One message of a session. */
export type Message = {
  messageId?: string;
  /** A 64-bit number, which JSON has as text. */
  sequence?: string;
  role?: Role;
  name?: string;
  /** Absent is distinct from empty. */
  content?: string;
  toolCalls?: ToolCall[];
  toolCallId?: string;
  parts?: Part[];
  /** Bytes in base64. */
  payload?: string;
  payloadType?: string;
  /** A JSON object as text. */
  metadata?: string;
  model?: string;
  provider?: string;
  usage?: Usage;
  tokenCount?: number;
  pinned?: boolean;
  status?: MessageStatus;
  turnId?: string;
  createTime?: string;
  sendTime?: string;
  finishReason?: string;
};

export type ToolCall = {
  id?: string;
  name?: string;
  /** The text exactly as the model wrote it; usually JSON. */
  arguments?: string;
};

/** One part of a message: exactly one of the fields is set. */
export type Part = {
  text?: string;
  media?: Media;
  /** Any JSON value as text. */
  json?: string;
  reasoning?: Reasoning;
};

/** An image, a sound or a document: exactly one of `uri` and `data` is set. */
export type Media = {
  mimeType?: string;
  uri?: string;
  /** Bytes in base64. */
  data?: string;
};

export type Reasoning = {
  text?: string;
  opaque?: string;
  signature?: string;
};

export type Usage = {
  inputTokens?: number;
  outputTokens?: number;
  cacheReadTokens?: number;
  cacheWriteTokens?: number;
};

/** A context window: the fields of a `History` that a request needs. */
export type History = {
  messages?: Message[];
  summary?: { throughSequence?: string };
};

/** How a request shows a tool call that has no result. */
export type Unanswered =
  /** The request has a result for it, which says that there is none. */
  | "MARKER"
  /** The request does not have the call. */
  | "OMIT";

/** A rule of a provider that a request breaks. */
export type Violation = {
  readonly rule: string;
  /** Where, for example `messages[2].content`. */
  readonly path: string;
  /** What is wrong. It quotes no text of the conversation. */
  readonly text: string;
  /** The public page that has the rule. */
  readonly source: string;
};

/** An addition to a message that streams: the JSON form of an `AppendMessageStreamDelta`. */
export type Delta = {
  text?: string;
  toolCalls?: { index?: number; id?: string; name?: string; arguments?: string }[];
  parts?: Part[];
};

/** The end of a message that streams: the JSON form of an `AppendMessageStreamFinish`. */
export type Finish = {
  usage?: Usage;
  payload?: string;
  payloadType?: string;
  status?: MessageStatus;
  finishReason?: string;
};
