// Whether a job should span ledgers: eight ledgers settled by eight jobs side by side, each on a connection of its own,
// against one transaction for all of them. Both send the statements of the service; the second sends one BEGIN and one COMMIT.
// The answer is in docs/decisions/0013-journal.md. Run it with: node bench/spanning.ts
import { randomUUIDv7 } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  connect,
  type Connection,
  disconnect,
  type Queryable,
  READING_TIMEOUTS,
} from '../src/db/connection/connect.ts';
import { lockJob } from '../src/db/ledger/locked-job.ts';
import { writeJob } from '../src/db/ledger/settlement.ts';
import { renderColumns } from '../src/db/queries/transfer-columns.ts';
import { decide } from '../src/domain/decide.ts';
import { fromColumns, type Job } from '../src/domain/job.ts';
import type { Ledger } from '../src/domain/ledger.ts';
import { ANYBODY } from '../src/main/api/permissions.ts';
import { toNewTransfer } from '../src/main/api/submission.ts';
import { toJob, toWaitingUnit } from '../src/main/engine/unit.ts';
import { ROOT, startService, type Bench } from './bench.ts';
import { type Cluster, openCluster } from './cluster.ts';
import { compileSlowSync } from './ledgers.ts';
import { familySeconds } from './processes.ts';
import { medianOf } from './subject.ts';

const LEDGERS = 8;
const ACCOUNTS = 500;
const ROUNDS = 5;
const TURN_MS = 1500;
const SYNC_DELAYS_MS = [0, 10];
const SIZES = [1, 16, 128];
const DIGEST = Buffer.alloc(32);

type Books = { readonly ledgers: readonly Ledger[]; readonly connections: readonly Connection[] };
type Figure = { readonly perSecond: number; readonly postgresMicros: number };

/** A job of one ledger, with transfers between two accounts of it each. */
function jobOf(ledger: Ledger, size: number): Job {
  const units = Array.from({ length: size }, () => {
    const from = Math.floor(Math.random() * ACCOUNTS);
    const parties = { fromAccount: `A${from}`, toAccount: `A${(from + 1) % ACCOUNTS}` };
    const request = { requestId: randomUUIDv7(), requestIdGiven: false, principal: ANYBODY };
    return toWaitingUnit(ledger, [toNewTransfer(request, { ...parties, amount: 1n, currency: null })], null);
  });
  return toJob(units, { mode: 'settle', mayBeSettled: false, retryMs: 0 });
}

/** Settles a job by the statements of the service. `begun`: resolves when the job may write. */
async function settle(connection: Queryable, job: Job, begun: () => Promise<unknown> = async () => {}): Promise<void> {
  const { transaction, locked } = await lockJob(connection, job);
  const transfers = fromColumns(job.transfers, locked.jobMicros);
  const { outcomes, changed } = decide(transfers, locked.books);
  await begun();
  await writeJob(transaction, {
    ledger: job.ledger,
    jobMicros: locked.jobMicros,
    transfers,
    columns: renderColumns(job.transfers),
    storedAtMicros: null,
    outcomes,
    changed,
    opened: [],
    claims: [],
    digest: () => DIGEST,
    missing: [],
    nextExpiry: null,
    dryRun: false,
  });
}

async function sideBySide({ ledgers, connections }: Books, size: number): Promise<void> {
  await Promise.all(
    ledgers.map(async (ledger, index) => {
      const connection = connections[index];
      if (connection) await settle(connection, jobOf(ledger, size));
    }),
  );
}

/** One transaction on one connection: the first job begins it, and the last one commits it. */
async function spanning({ ledgers, connections: [connection] }: Books, size: number): Promise<void> {
  if (!connection) return;
  const committed = Promise.withResolvers<unknown>();
  const locked = ledgers.map(() => Promise.withResolvers<void>());
  const within = (position: number): Queryable =>
    new Proxy(connection, {
      get: (target, name) => {
        const query: unknown = Reflect.get(target, name);
        if (name !== 'query' || typeof query !== 'function') return query;
        return async (...statement: unknown[]) => {
          if (statement[0] === 'begin' && position > 0) return { command: 'BEGIN', rows: [] };
          if (statement[0] === 'commit' && position < ledgers.length - 1) return await committed.promise;
          const sent: Promise<unknown> = Reflect.apply(query, target, statement);
          if (statement[0] === 'commit') sent.then(committed.resolve, committed.reject);
          return await sent;
        };
      },
    });
  await Promise.all(
    ledgers.map(async (ledger, position) => {
      await settle(within(position), jobOf(ledger, size), async () => {
        locked[position]?.resolve();
        await Promise.all(locked.map(async ({ promise }) => await promise));
      });
    }),
  );
}

async function withBooks(
  syncDelayMs: number,
  folder: string,
  work: (books: Books, postmasterId: number) => Promise<void>,
) {
  const bench: Bench = { cluster: await openServer(syncDelayMs, folder), folder, samples: [], log: () => {} };
  try {
    await bench.cluster.create('spanning');
    const service = await startService(bench, ROOT, 'spanning');
    const post = async (path: string, body: unknown): Promise<void> => {
      const options = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
      const { status } = await fetch(`${service.url}${path}`, options);
      if (status !== 201) throw new Error(`POST ${path} was answered ${status}.`);
    };
    const names = Array.from({ length: LEDGERS }, (_, index) => `l${index}`);
    for (const name of names) {
      await post('/ledgers', { name });
      const accounts = Array.from({ length: ACCOUNTS }, (_, index) => ({
        account_number: `A${index}`,
        name: 'Benchmark',
        balance: 1_000_000_000,
      }));
      await post(`/ledgers/${name}/accounts`, { accounts });
    }
    await service.stop();
    const settings = bench.cluster.settingsOf('spanning');
    const options = { applicationName: 'benchmark', pipeline: true };
    const connections = await Promise.all(names.map(async () => await connect(settings, READING_TIMEOUTS, options)));
    const [first] = connections;
    const found = await first?.query<Ledger>('select id, name from ledgers where name = any($1::text[])', [names]);
    await work({ ledgers: found?.rows ?? [], connections }, bench.cluster.postmasterId);
    for (const connection of connections) await disconnect(connection);
  } finally {
    await bench.cluster.close();
  }
}

async function openServer(syncDelayMs: number, folder: string): Promise<Cluster> {
  if (syncDelayMs === 0) return await openCluster('', 'stock');
  const library = await compileSlowSync(folder);
  return await openCluster('', 'stock', { LD_PRELOAD: library, SYNC_DELAY_MS: String(syncDelayMs) });
}

async function measure(work: () => Promise<void>, transfers: number, postmasterId: number): Promise<Figure> {
  const before = familySeconds(postmasterId);
  const startedAt = performance.now();
  let count = 0;
  while (performance.now() - startedAt < TURN_MS) {
    await work();
    count += transfers;
  }
  const seconds = (performance.now() - startedAt) / 1000;
  return { perSecond: count / seconds, postgresMicros: ((familySeconds(postmasterId) - before) * 1e6) / count };
}

const write = (line: string): boolean => process.stdout.write(`${line}\n`);

const folder = await mkdtemp(join(tmpdir(), 'gopherpay-spanning-'));
// The server, which runs as another user, loads the library from it.
await chmod(folder, 0o755);
write('sync +ms, transfers per ledger: side by side -> spanning: per second, PostgreSQL µs per transfer (medians)');
try {
  for (const delayMs of SYNC_DELAYS_MS) {
    await withBooks(delayMs, folder, async (books, postmasterId) => {
      for (const size of SIZES) {
        const figures: Figure[][] = [[], []];
        for (let round = 0; round < ROUNDS; round += 1) {
          for (const [index, way] of [sideBySide, spanning].entries()) {
            const work = async () => await way(books, size);
            figures[index]?.push(await measure(work, LEDGERS * size, postmasterId));
          }
        }
        const shown = figures.map((each) => {
          const median = (name: keyof Figure) => Math.round(medianOf(each.map((figure) => figure[name])) ?? 0);
          return `${median('perSecond')}/s ${median('postgresMicros')} µs`;
        });
        write(`${delayMs}, ${size}: ${shown.join(' -> ')}`);
      }
    });
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
