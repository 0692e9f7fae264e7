// The key of --key-file, for commands that are clients of a service.
import { readFile } from 'node:fs/promises';
import { toError } from '../db/connection/errors.ts';
import { CommandError, EXIT } from './command.ts';

/**
 * The key in a file, without the end of its line; null: no file is named. A key in an argument would be shown in the list
 * of processes.
 */
export async function readKey(path: string | undefined): Promise<string | null> {
  if (path === undefined) return null;
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new CommandError(EXIT.wrongUsage, `The file of --key-file cannot be read: ${toError(error).message}.`);
  });
  const key = text.trimEnd();
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new CommandError(EXIT.wrongUsage, `${path} is not a key: --key-file names a file with one key, in one line.`);
}
