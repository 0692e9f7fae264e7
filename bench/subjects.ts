// The subjects, in the order of the first round.
import { type Bench, CONNECTIONS, figureSoFar, ROOT } from './bench.ts';
import { beside } from './beside.ts';
import type { Subject } from './subject.ts';
import { countOpened } from './counts.ts';
import { ledgers } from './ledgers.ts';
import { http, sql } from './limits.ts';
import { naive } from './naive.ts';
import { ours, type Ours } from './ours.ts';
import { copy, report } from './report.ts';
import { bareStart, npmStart } from './start.ts';
import { together } from './together.ts';

export type Sizes = {
  /** Transfers in the tables of `long`. */
  readonly long: number;
  /** Accounts of `wide`. */
  readonly wide: number;
  /** Transfers in the history that is reported. */
  readonly report: number;
};

export type Tree = { readonly name: string; readonly path: string };

/** Room for eight requests of 1,000 transfers that wait. */
const BULK_SETTINGS = { MAX_QUEUE: '20000' };

export function listSubjects(bench: Bench, sizes: Sizes, trees: readonly Tree[]): Subject[] {
  const here = listOfTree(bench, sizes, { suffix: '', path: ROOT });
  const others = trees.map(({ name, path }) =>
    listOfTree(bench, sizes, { suffix: ` (${name})`, path }).map((subject) => ({
      ...subject,
      what: `${subject.what} The service of another checkout, ${name}.`,
    })),
  );
  return [
    naive(bench),
    http(bench, {
      name: 'http',
      what: `${CONNECTIONS} connections, load generator in Node`,
      load: { generator: 'node' },
    }),
    http(bench, {
      name: 'bare-http',
      what: '256 connections, wrk',
      load: { generator: 'wrk', connections: 256 },
    }),
    // Those that are compared follow each other, so that both meet the same state of the machine.
    ...here.flatMap((subject, index) => [subject, ...others.flatMap((list) => list[index] ?? [])]),
    copy(bench, sizes.report),
    report(bench, sizes.report),
    bareStart(bench),
    npmStart(bench),
  ];
}

/** The subjects that run the code of one checkout; the suffix distinguishes their names from those of this checkout. */
function listOfTree(bench: Bench, sizes: Sizes, { suffix, path }: { suffix: string; path: string }): Subject[] {
  const thousands = (count: number) => count.toLocaleString('en');
  const service = ({ name, ...options }: Omit<Ours, 'tree'>): Subject =>
    ours(bench, { ...options, name: `${name}${suffix}`, tree: path });
  const closedLoop = (name: string, { connections, wait }: { connections: number; wait: boolean }): Subject =>
    service({
      name,
      what: `Ours: one transfer per request, ${connections} connections${wait ? ' that wait for its end (Prefer: wait)' : ' answered 202'}, closed loop by wrk, 10,000 accounts, uniform.`,
      load: { generator: 'wrk', connections, wait },
    });
  const single = `single${suffix}`;
  const single64 = `single-64${suffix}`;
  const single256 = `single-256${suffix}`;
  return [
    sql(bench, { name: `sql${suffix}`, tree: path }),
    ...[1, 16, 128].map((jobSize) => sql(bench, { name: `sql-${jobSize}${suffix}`, tree: path, jobSize })),
    service({
      name: 'single',
      what: `Ours: one transfer per request, ${CONNECTIONS} connections, closed loop, 10,000 accounts, uniform.`,
      load: { generator: 'node' },
    }),
    closedLoop('single-64', { connections: 64, wait: false }),
    closedLoop('single-256', { connections: 256, wait: false }),
    together(
      `keyed${suffix}`,
      'Ours: two services at once, of which the first has a key that every request carries; to each, 128 connections answered 202, closed loop by wrk. The figure is what the first settles, divided by what the second settles.',
      [
        service({ name: 'with-key', what: '', load: { generator: 'wrk', connections: 128 }, keyed: true }),
        service({ name: 'without-key', what: '', load: { generator: 'wrk', connections: 128 } }),
      ],
    ),
    closedLoop('wait-64', { connections: 64, wait: true }),
    closedLoop('wait-256', { connections: 256, wait: true }),
    service({
      name: 'bulk',
      what: 'Ours: 1,000 independent transfers per request, 8 connections that wait for their end (Prefer: wait), closed loop, 10,000 accounts, uniform.',
      load: { generator: 'node', bulk: 1000, connections: 8, wait: true },
      settings: BULK_SETTINGS,
    }),
    service({
      name: 'openings',
      what: 'Ours: one account opened per request, without a balance, 64 connections, closed loop by wrk.',
      needs: [single64],
      load: { generator: 'wrk', connections: 64, opens: true },
      figure: { unit: 'accounts/s', count: countOpened },
    }),
    service({
      name: 'hot4',
      what: 'Ours: as single, but every transfer is between one of 4 accounts and one of the 9,996 others.',
      load: { generator: 'node', hot: 4 },
    }),
    service({
      name: 'hot1',
      what: 'Ours: as single, but every transfer is between one same account and one of the 9,999 others.',
      load: { generator: 'node', hot: 1 },
    }),
    service({
      name: 'long',
      what: `Ours: as single, with ${thousands(sizes.long)} transfers in the tables before the first turn.`,
      needs: [single],
      load: { generator: 'node' },
      history: sizes.long,
    }),
    service({
      name: 'wide',
      what: `Ours: as single, over ${thousands(sizes.wide)} accounts.`,
      needs: [single],
      load: { generator: 'node', accounts: sizes.wide },
    }),
    service({
      name: 'overload',
      what: 'Ours: open loop by wrk, offered twice the median that single-256 settled, 1,000 connections and as many places in the queue as half of them.',
      needs: [single256],
      load: { generator: 'wrk', rate: () => 2 * figureSoFar(bench, single256), connections: 1000 },
      settings: { MAX_QUEUE: '500' },
    }),
    service({
      name: 'half',
      what: 'Ours: open loop, offered half the median that single settled, callers that wait for the end (Prefer: wait), so that an answer is final.',
      needs: [single, 'naive'],
      load: { generator: 'node', rate: () => figureSoFar(bench, single) / 2, wait: true },
    }),
    beside(bench, { name: `beside-64${suffix}`, tree: path, connections: 64 }),
    beside(bench, { name: `beside-256${suffix}`, tree: path, connections: 256 }),
    beside(bench, { name: `beside-1000${suffix}`, tree: path, connections: 1000, maxQueue: 500 }),
    ledgers(bench, { name: `ledgers-1${suffix}`, tree: path, count: 1 }),
    ledgers(bench, { name: `ledgers-8${suffix}`, tree: path, count: 8 }),
    ledgers(bench, { name: `slow-2${suffix}`, tree: path, count: 1, threads: 2 }),
    ledgers(bench, { name: `slow-10${suffix}`, tree: path, count: 1, threads: 10 }),
  ];
}
