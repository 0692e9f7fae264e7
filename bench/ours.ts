// Subjects that are the service: it runs as its own process, the load comes from another one, and the books are audited after
// the last turn.
import { setTimeout as sleep } from 'node:timers/promises';
import { ACCOUNTS, audit, type Bench, createKey, makeLedger, startService, withConnection } from './bench.ts';
import { BrokenPromise, type Subject, type Measured, type Run, type Unit } from './subject.ts';
import { type Count, countCompleted, countOpened } from './counts.ts';
import { type Load, type Loaded, putLoad } from './load.ts';
import { watchMemory } from './processes.ts';
import { processorTime, type Window } from './window.ts';
import { requireWrk } from './wrk.ts';

const PENDING = 'select exists (select from pending_transfers) as pending';
const SETTLE_TIMEOUT_MS = 60_000;
const CHECK_INTERVAL_MS = 100;
/** Consecutive checks that find nothing pending, because a request may still be in flight. */
const IDLE_CHECKS = 5;

export type Ours = Pick<Subject, 'name' | 'what'> & {
  readonly tree: string;
  readonly needs?: readonly string[];
  readonly load: Load;
  /** Whether the service has a key, which every request carries. */
  readonly keyed?: boolean;
  readonly settings?: Readonly<Record<string, string>>;
  /** Transfers that are in the books before the first turn. */
  readonly history?: number;
  /** What is counted instead of completed transfers, and its unit. */
  readonly figure?: { readonly unit: Unit; readonly count: Count };
};

/** The name of a subject's database. */
export function databaseOf(name: string): string {
  return name.replaceAll(/\W+/g, '_').toLowerCase();
}

/** The service of a checkout under a load. */
export function ours(
  bench: Bench,
  { name, what, tree, needs = [], load, keyed = false, settings = {}, history = 0, figure }: Ours,
): Subject {
  const database = databaseOf(name);
  const accounts = load.accounts ?? ACCOUNTS;
  let key: string | null = null;
  return {
    name,
    what,
    needs,
    unit: figure?.unit ?? 'transfers/s',
    prepare: async () => {
      if (load.generator === 'wrk') await requireWrk();
      await makeLedger(bench, tree, database, { accounts, transfers: history });
      if (keyed) key = await createKey(bench, tree, database);
    },
    run: async (seconds) => {
      const startedAt = Date.now();
      const service = await startService(bench, tree, database, settings);
      const memory = watchMemory(service.id);
      let loaded: Loaded;
      let remembered: Measured;
      try {
        loaded = await putLoad(
          bench,
          service,
          service.url,
          { ...load, ...(key !== null && { key }), accounts },
          seconds,
        );
        await awaitSettled(bench, database);
      } finally {
        remembered = memory.end();
        await service.stop();
      }
      const { window, reported, accepted, command } = loaded;
      const perSecond = await withConnection(bench, database, async (connection) => {
        const total = await (load.opens ? countOpened : countCompleted)(connection, startedAt, Date.now() + 1000);
        if (total < accepted) throw new BrokenPromise(`${accepted} requests were accepted, ${total} took effect.`);
        const count = await (figure?.count ?? countCompleted)(connection, window.from, window.to);
        return count / ((window.to - window.from) / 1000);
      });
      await bench.cluster.settle(database);
      return toRun(perSecond, window, withSettings(command, settings), { ...reported, ...remembered });
    },
    prove: async () => await audit(bench, tree, database),
    close: async () => {},
  };
}

/**
 * Waits until no transfer is pending. wrk ends in the middle of requests, and a service that stops then may leave their
 * transfers pending.
 */
export async function awaitSettled(bench: Bench, database: string): Promise<void> {
  const deadline = performance.now() + SETTLE_TIMEOUT_MS;
  await withConnection(bench, database, async (connection) => {
    for (let idle = 0; idle < IDLE_CHECKS;) {
      if (performance.now() > deadline) throw new BrokenPromise('Accepted transfers are still pending.');
      await sleep(CHECK_INTERVAL_MS);
      const { rows } = await connection.query<{ pending: boolean }>(PENDING);
      idle = rows[0]?.pending ? 0 : idle + 1;
    }
  });
}

function withSettings(command: string, settings: Readonly<Record<string, string>>): string {
  const set = Object.entries(settings).map(([name, value]) => `${name}=${value} `);
  return `${set.join('')}gopherpay serve; ${command}`;
}

/** What a turn returns: its figure, and what was measured in its window. */
export function toRun(figure: number, window: Window, command: string, more: Measured = {}): Run {
  return { figure, measured: { ...window.measured, ...processorTime(window.measured, figure), ...more }, command };
}
