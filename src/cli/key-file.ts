// Secrets in files that options name, and the key with which a command calls a service.
import { readFile } from 'node:fs/promises';
import { toError } from '../db/connection/errors.ts';
import { CommandError, EXIT } from './command.ts';

/** The text of the file that an option names, without the end of its line. */
export async function readOptionFile(option: string, path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new CommandError(EXIT.wrongUsage, `The file of --${option} cannot be read: ${toError(error).message}.`);
  });
  return text.trimEnd();
}

/** The key in the file of --key-file. */
export async function readKey(path: string): Promise<string> {
  const key = await readOptionFile('key-file', path);
  return checkKey(key, `${path} is not a key: --key-file names a file with one key, in one line.`);
}

/** Refuses a text that no header may have. The text is not shown: it may be another secret. */
export function checkKey(key: string, complaint: string): string {
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new CommandError(EXIT.wrongUsage, complaint);
}
