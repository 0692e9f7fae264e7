// What all commands share: strict arguments, exit codes, a clean exit on Ctrl-C, and the connection to the database.
import { constants } from 'node:os';
import { z } from 'zod';
import type { Config } from '../config.ts';
import {
  connect,
  type DatabaseSettings,
  type DatabaseTimeouts,
  disconnect,
  type Queryable,
} from '../db/connection/connect.ts';
import { holdsCluster, openEmbeddedServer } from '../db/embedded/server.ts';
import { listLedgers, loadLedgers } from '../db/ledger/ledgers.ts';
import { ACCOUNT_FORM } from '../domain/account.ts';
import { CONTRA_FORM } from '../domain/between-ledgers.ts';
import { CURRENCY_FORM } from '../domain/currency.ts';
import { isLedgerName, type Ledger, MAIN_LEDGER } from '../domain/ledger.ts';
import { mustBe } from '../validation.ts';
import { onStopSignal } from './signals.ts';

/** The exit codes of the process. */
export const EXIT = {
  ok: 0,
  failed: 1,
  wrongUsage: 2,
  discrepancy: 3,
  outOfReach: 4,
} as const;

/** The exit code of a load test, or of a comparison of two, if a threshold was not met. */
export const EXIT_THRESHOLD = 99;

/** Added to the number of the signal that ended a command, as shells do. */
export const SIGNALLED = 128;

/** Ends a command with a sentence on standard error. */
export class CommandError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/**
 * Parses the arguments that citty read from the command line. citty accepts misspelled options and stray words, which is a defect
 * where money is concerned. So an argument that is not declared ends the command.
 */
export function parseArguments<Shape extends z.ZodRawShape>(
  shape: Shape,
  args: Readonly<Record<string, unknown>>,
): z.output<z.ZodObject<Shape>> {
  const { _: words, ...received } = args;
  // citty adds each option once more in camel case.
  const isCopy = (name: string) => name !== toKebab(name) && Object.hasOwn(shape, toKebab(name));
  const options = Object.fromEntries(Object.entries(received).filter(([name]) => !isCopy(name)));
  if (Array.isArray(words) && words.length > 0) {
    throw new CommandError(EXIT.wrongUsage, `"${words[0]}" is not an argument of this command; see --help.`);
  }
  const parsed = z.strictObject(shape).safeParse(options);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  if (issue?.code === 'unrecognized_keys') {
    throw new CommandError(EXIT.wrongUsage, `There is no option --${issue.keys[0]}; see --help.`);
  }
  throw new CommandError(EXIT.wrongUsage, `The option --${issue?.path.join('.')} is wrong: it ${issue?.message}.`);
}

export function toKebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/**
 * Runs `work` with a signal that the first Ctrl-C (SIGINT), SIGTERM or SIGHUP aborts, so that `work` can clean up. Then it throws
 * the error that ends the command. A second signal ends the process at once.
 */
export async function interruptible(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const uninstall = onStopSignal((name) => {
    controller.abort(new CommandError(SIGNALLED + constants.signals[name], `Stopped by ${name}.`));
  });
  try {
    await work(controller.signal);
  } catch (error) {
    // An error after the abort is a consequence of it.
    controller.signal.throwIfAborted();
    throw error;
  } finally {
    uninstall();
  }
}

/** The database as each of its roles reaches it; null: no setting names it. */
export type Databases = Readonly<Record<'owner' | 'runtime' | 'reader', DatabaseSettings | null>>;

/** The databases that the settings name; null: the embedded one. */
export function namedDatabases({ database, ownerDatabase, readerDatabase }: Config): Databases | null {
  if (!database && !ownerDatabase && !readerDatabase) return null;
  return { owner: ownerDatabase ?? database, runtime: database, reader: readerDatabase ?? database };
}

/** The database as a role. Throws if the settings name it for other roles only. */
export function databaseAs(databases: Databases, role: keyof Databases): DatabaseSettings {
  const database = databases[role];
  if (database) return database;
  throw new CommandError(
    EXIT.failed,
    'The setting DATABASE_URL is missing: add it, because DATABASE_OWNER_URL and DATABASE_READER_URL name the database for other commands only.',
  );
}

/** Runs `work` with the database of the settings, as a role: see `withDatabases`. */
export async function withDatabase<Result>(
  config: Config,
  role: keyof Databases,
  work: (database: DatabaseSettings) => Promise<Result>,
): Promise<Result> {
  return await withDatabases(config, async (databases) => await work(databaseAs(databases, role)));
}

/**
 * Runs `work` with the database of the settings: the one that they name, or the embedded one, which is started if necessary. Throws
 * if the embedded one does not exist: a command that only reads must not create it.
 */
export async function withDatabases<Result>(
  config: Config,
  work: (databases: Databases) => Promise<Result>,
): Promise<Result> {
  const named = namedDatabases(config);
  if (named) return await work(named);
  if (!holdsCluster(config.dataDir)) {
    throw new CommandError(
      EXIT.outOfReach,
      `There is no database in ${config.dataDir}: start the service once, or name one with DATABASE_URL or DATA_DIR.`,
    );
  }
  const server = await openEmbeddedServer(config.dataDir);
  try {
    return await work(server.roles);
  } finally {
    await server.release();
  }
}

/** Runs `work` on a connection of its own, which is always closed: afterwards, or when `signal` aborts. */
export async function withConnection<Result>(
  database: DatabaseSettings,
  {
    timeouts,
    signal,
    applicationName,
    readOnly = true,
  }: { timeouts: DatabaseTimeouts; signal: AbortSignal; applicationName: string; readOnly?: boolean },
  work: (connection: Queryable) => Promise<Result>,
): Promise<Result> {
  const connection = await connect(database, timeouts, { applicationName, readOnly });
  const close = () => void disconnect(connection);
  signal.addEventListener('abort', close, { once: true });
  try {
    signal.throwIfAborted();
    return await work(connection);
  } finally {
    signal.removeEventListener('abort', close);
    await disconnect(connection);
  }
}

/** Options that several commands have. */
export const ledgerName = z.string({ error: mustBe('the name of a ledger, such as main') }).refine(isLedgerName);
export const accountNumber = z
  .string({ error: mustBe('an account number: 1 to 34 of A-Z a-z 0-9 . _ -, @external, or @ledger:NAME') })
  .refine((text) => ACCOUNT_FORM.test(text) || CONTRA_FORM.test(text));
export const currencyCode = z.string({ error: mustBe('a currency such as USD') }).regex(CURRENCY_FORM);

/** How many ledgers the error about an unknown one lists. */
const LEDGERS_NAMED = 10;

/** The ledger that --ledger names. If there is none, throws an error that lists the existing ones. */
export async function findLedger(connection: Queryable, name: string): Promise<Ledger> {
  if (name === MAIN_LEDGER.name) return MAIN_LEDGER;
  const [ledger] = await loadLedgers(connection, [name]);
  if (ledger) return ledger;
  const others = await listLedgers(connection, { limit: LEDGERS_NAMED + 1, after: null, ascending: true });
  throw unknownLedger(
    name,
    others.map((other) => other.name),
  );
}

/** The same, on a connection of its own. The ledger `main` needs none. */
export async function findLedgerOf(
  database: DatabaseSettings,
  name: string,
  applicationName: string,
  options: { timeouts: DatabaseTimeouts; signal: AbortSignal },
): Promise<Ledger> {
  if (name === MAIN_LEDGER.name) return MAIN_LEDGER;
  return await withConnection(
    database,
    { ...options, applicationName },
    async (connection) => await findLedger(connection, name),
  );
}

/** The error for a ledger that does not exist. `names`: the existing ledgers, or the first eleven of them. */
export function unknownLedger(name: string, names: readonly string[]): CommandError {
  const shown = names.slice(0, LEDGERS_NAMED).join(', ');
  const more = names.length > LEDGERS_NAMED ? ' and others' : '';
  return new CommandError(EXIT.wrongUsage, `There is no ledger "${name}"; the ledgers are ${shown}${more}.`);
}
