// Who takes part, in the order of the first round.
import type { Bench } from './bench.ts';
import { figureSoFar } from './bench.ts';
import type { Contestant } from './contestant.ts';
import { http, sql } from './limits.ts';
import { naive } from './naive.ts';
import { ours } from './ours.ts';
import { copy, report } from './report.ts';
import { bareStart, npmStart } from './start.ts';

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

export function listContestants(bench: Bench, sizes: Sizes, trees: readonly Tree[]): Contestant[] {
  const thousands = (count: number) => count.toLocaleString('en');
  return [
    naive(bench),
    http(bench),
    sql(bench),
    ours(bench, {
      name: 'single',
      what: 'Ours: one transfer per request, 128 connections, closed loop, 10,000 accounts, uniform.',
      load: {},
    }),
    ...trees.map(({ name, path }) =>
      ours(bench, {
        name: `single (${name})`,
        what: `The same with the service of another checkout, ${name}; load generator and audit's timing are this one's.`,
        tree: path,
        load: {},
      }),
    ),
    ours(bench, {
      name: 'bulk',
      what: 'Ours: 1,000 independent transfers per request, 8 connections that wait for their end (Prefer: wait), closed loop, 10,000 accounts, uniform.',
      load: { bulk: 1000, connections: 8, wait: true },
      settings: BULK_SETTINGS,
    }),
    ours(bench, {
      name: 'hot4',
      what: 'Ours: as single, but every transfer is between one of 4 accounts and one of the 9,996 others.',
      load: { hot: 4 },
    }),
    ours(bench, {
      name: 'hot1',
      what: 'Ours: as single, but every transfer is between one same account and one of the 9,999 others.',
      load: { hot: 1 },
    }),
    ours(bench, {
      name: 'long',
      what: `Ours: as single, with ${thousands(sizes.long)} transfers in the tables before the first turn.`,
      needs: ['single'],
      load: {},
      history: sizes.long,
    }),
    ours(bench, {
      name: 'wide',
      what: `Ours: as single, over ${thousands(sizes.wide)} accounts.`,
      needs: ['single'],
      load: { accounts: sizes.wide },
    }),
    ours(bench, {
      name: 'overload',
      what: 'Ours: open loop, offered twice the median that single settled, 1,000 connections and as many places in the queue as half of them.',
      needs: ['single'],
      load: { rate: () => 2 * figureSoFar(bench, 'single'), connections: 1000 },
      settings: { MAX_QUEUE: '500' },
    }),
    ours(bench, {
      name: 'half',
      what: 'Ours: open loop, offered half the median that single settled, callers that wait for the end (Prefer: wait), so that an answer is final.',
      needs: ['single', 'naive'],
      load: { rate: () => figureSoFar(bench, 'single') / 2, wait: true },
    }),
    copy(bench, sizes.report),
    report(bench, sizes.report),
    bareStart(bench),
    npmStart(bench),
  ];
}
