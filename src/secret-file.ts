// Reads files that hold a secret: a password, a URL with one, or a private key.
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';

const BYTES_MAX = 64 * 1024;
/** Permission for all users to write; any permission for the group and for all users. */
const WRITABLE_BY_ALL = 0o002;
const ANY_BUT_OWNER = 0o077;
/** Files on Windows have no such permissions. */
const hasModes = process.platform !== 'win32';

/** The settings, with each of `secrets` that a file holds: NAME_FILE names the file of NAME. */
export function readSecrets(
  secrets: readonly string[],
  received: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const settings = { ...received };
  for (const name of secrets) {
    const path = settings[`${name}_FILE`];
    if (path === undefined) continue;
    if (settings[name] !== undefined) {
      throw new Error(`The settings ${name} and ${name}_FILE are both given: remove one of them.`);
    }
    settings[name] = readSecretFile(`${name}_FILE`, path);
  }
  return settings;
}

/**
 * Reads the file that a setting names. Throws an error of one sentence that states the remedy.
 * Kubernetes mounts secrets with mode 0644, Docker with 0444, both in a folder that only the container sees. So a file that
 * all users can read is accepted. One that all users can write is not: any of them could replace the secret.
 */
export function readSecretFile(setting: string, path: string): string {
  const file = `The file ${path} of the setting ${setting}`;
  const { bytes, status } = readWhole(file, path);
  if (hasModes && (status.mode & WRITABLE_BY_ALL) !== 0) {
    throw new Error(`${file} can be written by all users: run "chmod o-w ${path}".`);
  }
  if (bytes.length > BYTES_MAX) throw new Error(`${file} is larger than 64 KiB: name a file that has only the secret.`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${file} is not in UTF-8: save it as UTF-8.`);
  }
  // Editors and "echo" end a file with a line break.
  const secret = text.replace(/\r?\n$/, '');
  if (secret === '') throw new Error(`${file} is empty: write the secret into it, or remove the setting.`);
  return secret;
}

/** Whether only the owner of a file can read it, and the owner is this user or root. */
export function isPrivate(status: Stats): boolean {
  return !hasModes || (!isOpenToOthers(status) && (status.uid === 0 || status.uid === process.geteuid?.()));
}

/** Whether users other than the owner may read, change or run a file. */
export function isOpenToOthers({ mode }: Stats): boolean {
  return hasModes && (mode & ANY_BUT_OWNER) !== 0;
}

/** Reads a regular file up to one byte more than is allowed. A pipe is refused: its writer could block the start. */
function readWhole(file: string, path: string): { bytes: Buffer; status: Stats } {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const status = fstatSync(descriptor);
    if (!status.isFile()) throw Object.assign(new Error('it is not a file'), { code: 'it is not a file' });
    const bytes = Buffer.alloc(BYTES_MAX + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = readSync(descriptor, bytes, length, bytes.length - length, null);
    return { bytes: bytes.subarray(0, length), status };
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new Error(`${file} cannot be read (${reason}): correct the path, or let this user read the file.`, {
      cause: error,
    });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
