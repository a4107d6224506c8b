import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

import * as grpc from "@grpc/grpc-js";

/** The targets that lead to this machine. */
const LOCAL = /^(127(\.\d+){3}:|localhost:|\[::1\]:|unix:)/;

/** Returns TLS with the files that the environment names, else plaintext. */
export function channelCredentials(): grpc.ChannelCredentials {
  const ca = process.env["SESSION_HISTORY_CA"];
  const cert = process.env["SESSION_HISTORY_CERT"];
  const key = process.env["SESSION_HISTORY_KEY"];
  if (!ca) return grpc.credentials.createInsecure();
  if (!cert || !key) return grpc.credentials.createSsl(readFileSync(ca));
  return grpc.credentials.createSsl(readFileSync(ca), readFileSync(key), readFileSync(cert));
}

/** Returns the key of each call, as the environment says. Without TLS, it is for this machine only. */
export function callCredentials(target: string): grpc.CallCredentials {
  const key = keyOfEnvironment();
  if (key && !process.env["SESSION_HISTORY_CA"] && !LOCAL.test(target)) {
    throw new Error(`the key would be sent in plain text to ${target}: set SESSION_HISTORY_CA`);
  }
  return key ? bearer(key) : grpc.credentials.createEmpty();
}

/** Returns an API key, or the token in a file that another program renews. */
function keyOfEnvironment(): (() => Promise<string>) | undefined {
  const key = process.env["SESSION_HISTORY_API_KEY"];
  const file = process.env["SESSION_HISTORY_API_KEY_FILE"];
  if (key) return async () => key;
  return file ? async () => (await readFile(file, "utf8")).trim() : undefined;
}

/** Sends a key with each call. gRPC asks for it before each attempt, so that a token can be renewed. */
function bearer(key: () => Promise<string>): grpc.CallCredentials {
  return grpc.credentials.createFromMetadataGenerator((_options, callback) => {
    key().then((text) => {
      const metadata = new grpc.Metadata();
      metadata.set("authorization", `Bearer ${text}`);
      callback(null, metadata);
    }, callback);
  });
}
