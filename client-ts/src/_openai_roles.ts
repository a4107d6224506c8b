/** The roles of messages in OpenAI's APIs. */

import type { Message, Role } from "./types.ts";

/** The roles by their names. */
export const ROLES: ReadonlyMap<unknown, Role> = new Map([
  ["system", "ROLE_SYSTEM"],
  ["developer", "ROLE_DEVELOPER"],
  ["user", "ROLE_USER"],
  ["assistant", "ROLE_ASSISTANT"],
  ["tool", "ROLE_TOOL"],
]);

/** Returns the name of a message's role. */
export function roleOf({ role = "ROLE_UNSPECIFIED" }: Message): string {
  return role.slice("ROLE_".length).toLowerCase();
}
