// The exit of a command that failed: its exit code, and the sentence for standard error.
import { SilenceError } from '../db/connection/silence.ts';
import {
  HostsError,
  INSUFFICIENT_PRIVILEGE,
  messageOf,
  sqlStateOf,
  toError,
  UnreplicatedError,
} from '../db/connection/errors.ts';
import { CommandError, EXIT } from './command.ts';

export type Exit = { readonly exitCode: number; readonly sentence: string };

/** SQLSTATEs, and classes of them, with which a server refuses a connection: no such user or database, starting, full. */
const NO_ENTRY = /^(08|28|3D|53300|57P)/;
const UNREACHABLE = /^(ECONN(REFUSED|RESET|ABORTED)|EPIPE|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|E(HOST|NET)UNREACH)$/;
/** Messages of pg's own errors, which have no code. */
const CONNECTION_LOST = /^(timeout expired|Connection terminated)/;
const UNDEFINED_TABLE = '42P01';

/** The exit of the process after an error. */
export function exitOf(thrown: unknown): Exit {
  const error = toError(thrown);
  if (error instanceof CommandError) return { exitCode: error.exitCode, sentence: error.message };
  // citty's own errors: a missing or a malformed option.
  if (error.name === 'CLIError') return { exitCode: EXIT.wrongUsage, sentence: `${error.message}; see --help.` };
  if (error instanceof SilenceError) {
    const sentence = `${error.message}: check that it can be reached, or allow more time with DB_READING_TIMEOUT_MS (for serve: DB_ANSWER_TIMEOUT_MS).`;
    return { exitCode: EXIT.outOfReach, sentence };
  }
  if (isOutOfReach(error)) {
    const sentence = `The database is out of reach (${reasonOf(error)}): check that it runs, and check DATABASE_URL or DB_HOST.`;
    return { exitCode: EXIT.outOfReach, sentence };
  }
  if (sqlStateOf(error) === UNDEFINED_TABLE) {
    return failed('The database has no GopherPay tables yet: start the service on it once.');
  }
  if (sqlStateOf(error) === INSUFFICIENT_PRIVILEGE) {
    return failed(
      `The database refuses this to the role (${error.message}): run "gopherpay migrate" as the owner of the tables, which grants the role its rights, or name another role in DATABASE_URL or DATABASE_READER_URL.`,
    );
  }
  // Only a connection parses a URL, and its error does not name the setting.
  if (codeOf(error) === 'ERR_INVALID_URL') return failed('The setting DATABASE_URL is wrong: it must be a URL.');
  return failed(error.message);
}

function failed(sentence: string): Exit {
  return { exitCode: EXIT.failed, sentence };
}

function isOutOfReach(error: Error): boolean {
  const connecting = 'syscall' in error && error.syscall === 'connect';
  return (
    connecting ||
    error instanceof HostsError ||
    error instanceof UnreplicatedError ||
    NO_ENTRY.test(sqlStateOf(error) ?? '') ||
    UNREACHABLE.test(codeOf(error)) ||
    CONNECTION_LOST.test(error.message)
  );
}

/** What went wrong, for a sentence. */
export function reasonOf(error: Error): string {
  return messageOf(error);
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : '';
}
