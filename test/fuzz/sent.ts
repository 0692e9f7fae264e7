// A request that was sent: what the judges know of it.
import type { Case } from './cases.ts';
import type { Allowed } from './credentials.ts';

/** What the caller may do; null: its request names no valid key. */
export type Access = Allowed | null;

export type Sent = {
  readonly case: Case;
  readonly target: string;
  readonly body: Buffer | null;
  /** What the key of the caller allows; undefined: the service has no keys. */
  readonly access?: Access;
};

/** The path of a target, which may be in the absolute form. */
export function pathOf(target: string): string {
  return target.replace(/^http:\/\/x(?=\/)/, '').split('?')[0] ?? '';
}

export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
