// JSON whose integers are exact. An amount that JavaScript would round is refused, in requests and in answers.
import { UnsafeIntegerError } from './errors.ts';

/** Sixteen digits in a row: only a text that has them can have an integer beyond 2^53. */
const LARGE = /\d{16}/;

/** The body of a request. Every number of the API is an integer, so a fraction is refused as well. */
export function renderJson(value: unknown): string {
  return JSON.stringify(value, (name, member: unknown) => {
    if (typeof member === 'number' && !Number.isSafeInteger(member)) throw new UnsafeIntegerError(name, member);
    return member;
  });
}

/** Parses an answer. */
export function parseJson(text: string): unknown {
  if (!LARGE.test(text)) return JSON.parse(text);
  return JSON.parse(text, (name, member: unknown) => {
    if (typeof member === 'number' && !Number.isSafeInteger(member)) throw new UnsafeIntegerError(name, member);
    return member;
  });
}
