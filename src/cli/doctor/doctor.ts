// gopherpay doctor: checks the database, the books and this machine, and says what to do.
import { styleText } from 'node:util';
import { defineCommand } from 'citty';
import { z } from 'zod';
import { type Config, readConfig } from '../../config.ts';
import { roleOf } from '../../db/connection/address.ts';
import { addressInUse, type DatabaseSettings, placeOf, type Queryable } from '../../db/connection/connect.ts';
import { INSUFFICIENT_PRIVILEGE, SessionError, sqlStateOf, toError } from '../../db/connection/errors.ts';
import { readBooks, readKeys, readTables, readWaiting, readWebhooks } from '../../db/doctor/books.ts';
import { readClock, readHolders, readServer, type ServerFacts } from '../../db/doctor/server.ts';
import { listMigrations } from '../../db/ledger/migrate.ts';
import { databaseConnectionsOf } from '../../main/database-connections.ts';
import { openFilesMax } from '../../open-files.ts';
import {
  CommandError,
  databaseAs,
  type Databases,
  EXIT,
  interruptible,
  namedDatabases,
  parseArguments,
  withConnection,
  withDatabases,
} from '../command.ts';
import { writeStandardOutput } from '../file.ts';
import { printable } from '../printable.ts';
import { type Finding, ok, problem, warning } from './finding.ts';
import {
  judgeAges,
  judgeKeys,
  judgeSchema,
  judgeTables,
  judgeWaiting,
  judgeWebhooks,
  KEY_SECONDS_MIN,
} from './judge-books.ts';
import { judgeClock, judgeDisk, judgeFiles, judgeMemory, judgeTls } from './judge-machine.ts';
import { judgeHolders, judgeServer } from './judge-server.ts';

const STATEMENT_TIMEOUT_MS = 10_000;
const LOOPBACK = /^(localhost|::1|\[::1\]|127\.\d+\.\d+\.\d+|\/.*)$/;
/** Fewer transfers say nothing about how much room one takes. */
const TRANSFERS_MIN = 10_000;

export const doctor = defineCommand({
  meta: {
    name: 'doctor',
    description: 'Check the database, its settings, rights, clock and disk, and this machine, and say what to do.',
  },
  args: { json: { type: 'boolean', description: 'One JSON object a line, a summary last' } },
  async run({ args }) {
    const { json } = parseArguments({ json: z.boolean().default(false) }, args);
    const config = readConfig();
    await interruptible(async (signal) => {
      const findings = await withDatabases(config, async (databases) => await examine(config, databases, signal));
      await writeStandardOutput([json ? renderJson(findings) : renderText(findings)], signal);
      const problems = findings.filter(({ status }) => status === 'problem').length;
      if (problems > 0) {
        throw new CommandError(EXIT.discrepancy, `${problems === 1 ? '1 problem' : `${problems} problems`} found.`);
      }
    });
  },
});

async function examine(config: Config, databases: Databases, signal: AbortSignal): Promise<readonly Finding[]> {
  const database = databaseAs(databases, 'runtime');
  return [
    ...(await examineDatabase(config, database, signal)),
    ...(await examineRoles(config, databases, signal)),
    ...(await examineMachine(config)),
  ];
}

async function examineDatabase(
  config: Config,
  database: DatabaseSettings,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  try {
    return await read(
      config,
      database,
      signal,
      async (connection) => await examineConnected(config, database, connection),
    );
  } catch (error) {
    // The session of the service would be refused for the same reason.
    if (!(error instanceof SessionError)) throw error;
    return [problem('server.session', 'refused', error.message)];
  }
}

async function read<Result>(
  config: Config,
  database: DatabaseSettings,
  signal: AbortSignal,
  work: (connection: Queryable) => Promise<Result>,
): Promise<Result> {
  const timeouts = { ...config.databaseTimeouts, statementTimeoutMs: STATEMENT_TIMEOUT_MS };
  return await withConnection(database, { timeouts, signal, applicationName: 'gopherpay doctor' }, work);
}

async function examineConnected(
  config: Config,
  database: DatabaseSettings,
  connection: Queryable,
): Promise<readonly Finding[]> {
  const server = await readServer(connection);
  const findings: Finding[] = [describeServer(database, server), judgeEncryption(database)];
  findings.push(...judgeServer(server, databaseConnectionsOf(config.threads)));
  const check = async (name: string, work: () => Promise<readonly Finding[]>): Promise<void> => {
    findings.push(...(await work().catch((error: unknown) => [unreadable(name, error)])));
  };
  await check('server.clock', async () => await examineClock(connection));
  await check('server.snapshots', async () => judgeHolders(await readHolders(connection)));
  const books = await readBooks(connection);
  findings.push(...judgeSchema(books, await listMigrations()));
  if (books.migrations === null) return findings;
  await check('books.bloat', async () => await examineTables(config, server, connection));
  await check('books.queue', async () => judgeWaiting(await readWaiting(connection, config.orphanedAfterMs)));
  const access = { open: isOpen(config), tokens: config.jwt !== null };
  await check('keys.access', async () => judgeKeys(await readKeys(connection, KEY_SECONDS_MIN), access));
  await check('webhooks.delivery', async () => judgeWebhooks(await readWebhooks(connection)));
  return findings;
}

function describeServer(database: DatabaseSettings, { version, role, database: name }: ServerFacts): Finding {
  return ok('server.session', `${name} on ${placeOf(database).host} as ${role}, PostgreSQL ${version}`);
}

function judgeEncryption(database: DatabaseSettings): Finding {
  const { host, ssl } = addressInUse(database);
  const isVerified = typeof ssl === 'object' && ssl.rejectUnauthorized !== false;
  if (isVerified) return ok('tls.database', 'verified');
  if (LOOPBACK.test(host)) return ok('tls.database', 'none, and the database is on this machine');
  return warning(
    'tls.database',
    ssl ? 'not verified' : 'none',
    'Another machine could pose as the database, and read all that is stored: set DB_SSL_MODE=verify-full.',
  );
}

async function examineClock(connection: Queryable): Promise<readonly Finding[]> {
  // The first one may have to load code.
  await readClock(connection);
  const { at, tookMs } = await readClock(connection);
  return judgeClock(at, Date.now(), tookMs);
}

async function examineTables(
  config: Config,
  { databaseBytes }: ServerFacts,
  connection: Queryable,
): Promise<readonly Finding[]> {
  const tables = await readTables(connection);
  const found = [...judgeTables(tables), ...judgeAges(tables)];
  if (namedDatabases(config)) return found;
  const transfers = tables.find(({ name }) => name === 'transfers')?.rows ?? 0;
  return [...found, await judgeDisk(config.dataDir, transfers < TRANSFERS_MIN ? null : databaseBytes / transfers)];
}

/** An error of the server as a finding. Any other one, such as a lost connection, ends the command. */
function unreadable(name: string, error: unknown): Finding {
  const state = sqlStateOf(error);
  if (state === null) throw error;
  return problem(
    name,
    `cannot be read (${toError(error).message})`,
    state === INSUFFICIENT_PRIVILEGE
      ? 'The service could not read it either: run "gopherpay migrate" as the owner of the tables, which grants the rights.'
      : 'The server refused or ended the statement: look at its log, and run the doctor again.',
  );
}

/** The other roles, if the settings name them. */
async function examineRoles(config: Config, databases: Databases, signal: AbortSignal): Promise<readonly Finding[]> {
  const runtime = databaseAs(databases, 'runtime');
  const findings: Finding[] = [];
  for (const kind of ['owner', 'reader'] as const) {
    const database = databases[kind];
    if (!database || roleOf(database) === roleOf(runtime)) continue;
    const check = `roles.${kind}`;
    const found = await read(config, database, signal, readBooks).catch((error: unknown) => toError(error));
    if (found instanceof Error) {
      findings.push(
        problem(
          check,
          roleOf(database),
          `It cannot connect (${found.message}): correct DATABASE_${kind.toUpperCase()}_URL.`,
        ),
      );
    } else if (kind === 'owner' && found.migrations !== null && !found.ownsTables) {
      findings.push(
        problem(check, roleOf(database), 'It does not own the tables: name their owner in DATABASE_OWNER_URL.'),
      );
    } else findings.push(ok(check, roleOf(database)));
  }
  return findings;
}

async function examineMachine(config: Config): Promise<readonly Finding[]> {
  const { tls, trustedProxies, maxQueueBytes, bodyBytesInFlightMax, answerBytesInFlightMax } = config;
  return [
    ok('machine.node', process.versions.node),
    judgeMemory(maxQueueBytes + bodyBytesInFlightMax + answerBytesInFlightMax),
    judgeFiles(openFilesMax(), config.connectionsMax),
    await judgeTls(tls?.cert ?? null, { open: isOpen(config), proxied: trustedProxies.length > 0 }),
  ];
}

/** Whether other machines can reach the service. */
function isOpen({ host, operations }: Config): boolean {
  return !LOOPBACK.test(host) || (operations !== null && !LOOPBACK.test(operations.host));
}

function renderJson(findings: readonly Finding[]): string {
  const count = (status: Finding['status']) => findings.filter((finding) => finding.status === status).length;
  const [problems, warnings] = [count('problem'), count('warning')];
  const lines = [
    ...findings.map((finding) => ({ type: 'check', ...finding })),
    { type: 'summary', ok: problems === 0, checks: findings.length, warnings, problems },
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

const COLORS = { ok: 'green', warning: 'yellow', problem: 'red' } as const;

function renderText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return findings
    .map(({ check, status, found, advice }) => {
      const line = `${styleText(COLORS[status], status.padEnd('problem'.length))}  ${check.padEnd(width)}  ${printable(found)}\n`;
      return advice === null ? line : `${line}${' '.repeat('problem'.length + 2)}${printable(advice)}\n`;
    })
    .join('');
}
