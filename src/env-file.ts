// Parses the file .env, and finds misspelled names of settings. If a wrong line that names the database were ignored,
// the service would start on a new, empty database. So a line that cannot be parsed is refused.
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { isPrivate } from './secret-file.ts';

const UTF_16_MARK = /^(\xff\xfe|\xfe\xff)/;
/**
 * Prefixes of our settings. In the environment, such names may belong to other programs: Kubernetes adds
 * DB_SERVICE_HOST. Other variables of OpenTelemetry have no effect here.
 */
const PREFIX = /^(DB|DATABASE|GOPHERPAY|OTEL)_/i;

/** Reads the file, if there is one. It must be its owner's alone if it has one of `secrets`. */
export function readEnvFile(settings: readonly string[], secrets: readonly string[]): Record<string, string> {
  let descriptor: number | undefined;
  try {
    descriptor = openSync('.env', 'r');
    const values = parseEnvFile(readFileSync(descriptor), settings);
    const secret = secrets.find((name) => (values[name] ?? '') !== '');
    if (secret !== undefined && !isPrivate(fstatSync(descriptor))) {
      throw new Error(
        `The file .env has ${secret}, and other users can read it: make it yours alone (chown, chmod 600), or move the secret to a file that ${secret}_FILE names.`,
      );
    }
    return values;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    if (error.code === 'ENOENT') return {};
    throw new Error(`The file .env cannot be read (${String(error.code)}): correct it, or remove it.`, {
      cause: error,
    });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Parses the file. `settings` are the permitted names. Throws an error of one sentence that says what to correct. */
export function parseEnvFile(bytes: Buffer, settings: readonly string[]): Record<string, string> {
  const text = decode(bytes);
  const values: Record<string, string> = {};
  for (const [name, value] of Object.entries(parseEnv(text))) {
    if (value !== undefined) values[name] = value;
  }
  for (const name of Object.keys(values)) {
    refuseMisspelled(name, settings, 'the file .env');
    if (PREFIX.test(name) && !settings.includes(name)) {
      throw new Error(`There is no setting ${name}, which is in the file .env: correct it, or remove it.`);
    }
  }
  for (const [index, line] of text.split('\n').entries()) {
    const name = /^\s*(?:export\s+)?(\w+)/.exec(line)?.[1] ?? '';
    if (settings.includes(name.toUpperCase()) && !(name in values)) {
      throw new Error(`Line ${index + 1} of the file .env is wrong: write it as ${name.toUpperCase()}=value.`);
    }
  }
  return values;
}

function decode(bytes: Buffer): string {
  if (UTF_16_MARK.test(bytes.toString('latin1', 0, 2)) || bytes.includes(0)) {
    throw new Error('The file .env is in UTF-16: save it as UTF-8.');
  }
  try {
    // The decoder removes a byte order mark.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error('The file .env is not in UTF-8: save it as UTF-8.');
  }
}

/** Throws an error that names the intended setting, if `name` is close to one. */
export function refuseMisspelled(name: string, settings: readonly string[], place: string): void {
  if (settings.includes(name)) return;
  const upper = name.toUpperCase();
  const meant = settings.find((setting) => setting === upper || isClose(upper, setting));
  if (meant === undefined) return;
  throw new Error(`There is no setting ${name}, which is in ${place}: did you mean ${meant}?`);
}

/** Short names are too similar: HOST is not a misspelled PORT. */
function isClose(name: string, setting: string): boolean {
  if (setting.length < 6 || Math.abs(name.length - setting.length) > 2) return false;
  return distance(name, setting) <= (setting.length < 8 ? 1 : 2);
}

/** The number of letters to insert, remove, replace, or swap with the next one. */
function distance(one: string, other: string): number {
  const rows = [Array.from({ length: other.length + 1 }, (_, index) => index)];
  const at = (row: number, column: number): number => rows[row]?.[column] ?? Infinity;
  for (let row = 1; row <= one.length; row += 1) {
    const current = [row];
    rows.push(current);
    for (let column = 1; column <= other.length; column += 1) {
      const replaced = at(row - 1, column - 1) + (one[row - 1] === other[column - 1] ? 0 : 1);
      const swaps = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      const exchanged = swaps ? at(row - 2, column - 2) + 1 : Infinity;
      current.push(Math.min(replaced, exchanged, at(row - 1, column) + 1, at(row, column - 1) + 1));
    }
  }
  return at(one.length, other.length);
}
