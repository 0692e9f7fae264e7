// How a command ends that could not do its work: its exit code, and the sentence for standard error.
import { SilenceError } from '../db/connection/connect.ts';
import { sqlStateOf, toError } from '../db/connection/errors.ts';
import { CommandError, EXIT } from './command.ts';

export type Exit = { readonly exitCode: number; readonly sentence: string };

/** SQLSTATEs and classes of them with which a server refuses to let us in: no such user or database, starting, full. */
const NO_ENTRY = /^(08|28|3D|53300|57P)/;
const UNREACHABLE = /^(ECONN(REFUSED|RESET|ABORTED)|EPIPE|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|E(HOST|NET)UNREACH)$/;
/** What pg says by itself, without a code. */
const CONNECTION_LOST = /^(timeout expired|Connection terminated)/;
const UNDEFINED_TABLE = '42P01';

/** Tells how the process ends after an error. */
export function exitOf(thrown: unknown): Exit {
  const error = toError(thrown);
  if (error instanceof CommandError) return { exitCode: error.exitCode, sentence: error.message };
  // citty's own complaints: a missing or a malformed option.
  if (error.name === 'CLIError') return { exitCode: EXIT.wrongUsage, sentence: `${error.message}; see --help.` };
  if (error instanceof SilenceError) {
    const sentence = `${error.message}: see whether it can be reached, or wait longer, with DB_READING_TIMEOUT_MS (of serve: DB_ANSWER_TIMEOUT_MS).`;
    return { exitCode: EXIT.outOfReach, sentence };
  }
  if (isOutOfReach(error)) {
    const sentence = `The database is out of reach (${reasonOf(error)}): see whether it runs, and what DATABASE_URL or DB_HOST says.`;
    return { exitCode: EXIT.outOfReach, sentence };
  }
  if (sqlStateOf(error) === UNDEFINED_TABLE) {
    return failed('The database has no GopherPay tables yet: start the service on it once.');
  }
  // Only what connects reads a URL, and its error does not say where that came from.
  if (codeOf(error) === 'ERR_INVALID_URL') return failed('The setting DATABASE_URL is wrong: it is no URL.');
  return failed(error.message);
}

function failed(sentence: string): Exit {
  return { exitCode: EXIT.failed, sentence };
}

function isOutOfReach(error: Error): boolean {
  const connecting = 'syscall' in error && error.syscall === 'connect';
  return (
    connecting ||
    NO_ENTRY.test(sqlStateOf(error) ?? '') ||
    UNREACHABLE.test(codeOf(error)) ||
    CONNECTION_LOST.test(error.message)
  );
}

/** A host with several addresses fails with an error for each of them, and none of its own. */
export function reasonOf(error: Error): string {
  return error instanceof AggregateError ? error.errors.map((each) => toError(each).message).join(', ') : error.message;
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : '';
}
