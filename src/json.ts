// JSON integers of any size. A balance is bounded so that every reader takes it as it is; a sum of many has no such bound.

declare global {
  interface JSON {
    /** Part of JavaScript, and not yet of TypeScript's library. */
    rawJSON(text: string): object;
  }
}

/** A value that JSON.stringify renders as this integer, with all its digits. */
export function exactInteger(value: bigint): object {
  return JSON.rawJSON(String(value));
}
