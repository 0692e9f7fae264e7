// Finds duplicate members of an object, of which JSON.parse silently keeps the last one. Members are counted in the
// text (json-shape.ts) and in the result of JSON.parse. Only a text whose counts differ is scanned again.
import { Problem, toValidationError, withErrors } from './problem.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const COMMA = 0x2c;

/** How many members a value has, at any depth. */
export function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countMembers(item);
    return count;
  }
  for (const member of Object.values(value)) count += 1 + countMembers(member);
  return count;
}

/** An object with the names so far, or an array with the index of its current element. */
type Level = { readonly names: string[] } | { index: number };

/** Finds the duplicate member in a JSON text. A string before a colon is a name in the innermost object. */
export function explainMembers(text: string): Problem {
  const levels: Level[] = [];
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    const level = levels.at(-1);
    if (code === OPEN) levels.push({ names: [] });
    else if (code === OPEN_ARRAY) levels.push({ index: 0 });
    else if (code === CLOSE || code === CLOSE_ARRAY) levels.pop();
    else if (code === COMMA && level && 'index' in level) level.index += 1;
    else if (code === QUOTE) {
      const end = endOfString(text, index);
      if (level && 'names' in level && isName(text, end)) {
        const name = readString(text, index, end);
        if (level.names.includes(name)) return repeated([...levels.slice(0, -1).map(currentOf), name]);
        level.names.push(name);
      }
      index = end;
    }
  }
  // V8 has misread the text: it can confuse the name `\\"` with a single backslash that it read before.
  return new Problem('malformed_json', 'The body could not be read: do not use backslashes in the names of members.');
}

function currentOf(level: Level): PropertyKey {
  return 'index' in level ? level.index : (level.names.at(-1) ?? '');
}

function repeated(path: readonly PropertyKey[]): Problem {
  const problem = new Problem('invalid_request', 'A member may appear only once.');
  return withErrors(problem, [toValidationError(path, 'appears twice')]);
}

function endOfString(text: string, start: number): number {
  let index = start + 1;
  for (; text.charCodeAt(index) !== QUOTE; index += 1) if (text.charCodeAt(index) === BACKSLASH) index += 1;
  return index;
}

function isName(text: string, end: number): boolean {
  let index = end + 1;
  while (text.charCodeAt(index) <= 0x20) index += 1;
  return text.charCodeAt(index) === COLON;
}

function readString(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end);
  return raw.includes('\\') ? String(JSON.parse(text.slice(start, end + 1))) : raw;
}
