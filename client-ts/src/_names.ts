/** Names of tools and speakers that APIs accept. */

const MAX_NAME_LENGTH = 64;

/** Returns a name that APIs accept: itself, or with an underscore for each character that they refuse. */
export function acceptedName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_-]/gu, "_").slice(0, MAX_NAME_LENGTH) || "_";
}

/** Returns whether APIs accept a name. */
export function isAcceptedName(name: unknown): boolean {
  return typeof name === "string" && acceptedName(name) === name;
}
