// Scans the bytes of a JSON text before it is parsed. JSON.parse and the schemas take time for each value, so a text
// that no schema accepts is refused here: 1 MiB of small values would otherwise block the event loop for seconds.
import { invalidRequest, Problem, toValidationError, type ValidationError } from './problem.ts';

/**
 * Objects, arrays and their members. The largest valid body has 1000 transfers of 60 members each, four levels deep.
 */
export const DEPTH_MAX = 8;
export const MEMBERS_MAX = 64;
export const ELEMENTS_MAX = 1000;
export const VALUES_MAX = 65_536;

const QUOTE = 0x22;
const COMMA = 0x2c;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
/** Makes an ASCII letter lower-case. */
const LOWER_CASE = 0x20;
const E = 0x65;
const PROTO = Buffer.from('"__proto__"');

/**
 * An object or array that is open at the position of the scan: its number of values so far, and the range of its latest
 * name.
 */
type Level = { isObject: boolean; count: number; nameStart: number; nameEnd: number };

/**
 * Refuses a text that nests deeper or has more members than any valid body. Returns the number of its members, and the
 * problem of a number with a fraction or exponent, or of a member named __proto__. That problem applies only if
 * JSON.parse accepts the text.
 */
export function inspectJson(bytes: Buffer): { members: number; problem: Problem | null } {
  const levels: Level[] = [];
  let level: Level | undefined;
  let values = 0;
  let members = 0;
  let stringStart = 0;
  let stringEnd = 0;
  let problem: Problem | null = null;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index] ?? 0;
    if (byte === QUOTE) {
      stringStart = index;
      index = stringEnd = endOfString(bytes, index);
    } else if (byte === COMMA) {
      if (level === undefined) return { members, problem };
      level.count += 1;
      values += 1;
      if (level.count > (level.isObject ? MEMBERS_MAX : ELEMENTS_MAX)) throw tooMany(bytes, levels, level);
      if (values > VALUES_MAX) throw refusal(`The body may have at most ${VALUES_MAX} values.`);
    } else if (byte === COLON) {
      if (level === undefined) return { members, problem };
      members += 1;
      level.nameStart = stringStart;
      level.nameEnd = stringEnd;
      if (problem === null && isProto(bytes, stringStart, stringEnd)) {
        problem = refusal('No member may have the name __proto__.');
      }
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      level = { isObject: byte === OPEN_OBJECT, count: 1, nameStart: 0, nameEnd: 0 };
      if (levels.push(level) > DEPTH_MAX) throw refusal(`The body may nest at most ${DEPTH_MAX} levels deep.`);
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      levels.pop();
      level = levels.at(-1);
    } else if ((byte === POINT || (byte | LOWER_CASE) === E) && problem === null && isDigit(bytes[index - 1])) {
      const error = toValidationError(pathOf(bytes, levels), 'must be written as an integer');
      problem = refusal(
        'Numbers must be written as integers, and amounts in minor units: 2550 instead of 25.50.',
        error,
      );
    }
  }
  return { members, problem };
}

/** The index of the quote that ends a string, or the end of the bytes. */
function endOfString(bytes: Buffer, start: number): number {
  for (let index = start + 1; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (byte === QUOTE) return index;
    if (byte === BACKSLASH) index += 1;
  }
  return bytes.length;
}

/** Whether a name is __proto__, which may also be written with escapes. */
function isProto(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < PROTO.length - 1) return false;
  const name = bytes.subarray(start, end + 1);
  return name.equals(PROTO) || (name.includes(BACKSLASH) && nameOf(bytes, start, end) === '__proto__');
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

function pathOf(bytes: Buffer, levels: readonly Level[]): (string | number)[] {
  return levels.map(({ isObject, count, nameStart, nameEnd }) =>
    isObject ? nameOf(bytes, nameStart, nameEnd) : count - 1,
  );
}

function nameOf(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end + 1);
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}

function tooMany(bytes: Buffer, levels: readonly Level[], { isObject }: Level): Problem {
  const message = isObject ? `must have at most ${MEMBERS_MAX} members` : `must have at most ${ELEMENTS_MAX} elements`;
  return invalidRequest([toValidationError(pathOf(bytes, levels.slice(0, -1)), message)]);
}

function refusal(detail: string, error?: ValidationError): Problem {
  return new Problem('invalid_request', detail, error && { members: { errors: [error] } });
}
