// The result of a run: what was measured, with which command, of which service, and by which machine.
import { availableParallelism, cpus } from 'node:os';
import { z } from 'zod';
import { type LoadResult, renderRow, renderSummary } from '../../load/result.ts';
import { VERSION } from '../../version.ts';
import { sendOnce, type Service } from '../remote/connection.ts';
import type { Swept } from './accounts.ts';
import type { LoadOptions } from './options.ts';
import type { Measured } from './run.ts';

const description = z.object({ info: z.object({ version: z.string().max(60) }) });

type Run = {
  readonly options: LoadOptions;
  readonly service: Service;
  readonly rawArgs: readonly string[];
  readonly measured: Measured;
  readonly prefix: string;
  readonly swept: Swept;
  readonly unbalanced: readonly string[] | null;
  readonly signal: AbortSignal;
};

export async function resultOf(run: Run): Promise<LoadResult> {
  const { options, measured, swept, unbalanced } = run;
  const { url, ledger, plan, connections, accounts, skew, bulk, wait, seed } = options;
  return {
    format: 'gopherpay-load/1',
    measured_at: measured.beganAt.toISOString(),
    command: commandOf(run.rawArgs),
    target: { url, ledger, version: await readVersion(run.service) },
    generator: {
      version: VERSION,
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
      processors: `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}`,
    },
    unit: plan.unit,
    stages: [...plan.stages],
    connections,
    accounts,
    skew,
    bulk,
    wait,
    seed,
    prefix: run.prefix,
    interrupted: run.signal.aborted,
    ...renderSummary(measured.summary),
    unbalanced: unbalanced && [...unbalanced],
    swept: swept.amount,
    left: [...swept.remaining],
    interval_seconds: measured.intervalSeconds,
    series: measured.rows.map(renderRow),
  };
}

/** The command as it was typed, without the key. */
export function commandOf(rawArgs: readonly string[]): string {
  const words = rawArgs.map((word, index) => {
    if (rawArgs[index - 1] === '--key') return '(secret)';
    return word.replace(/^(--key=).*$/s, '$1(secret)');
  });
  return ['gopherpay', 'load', ...words]
    .map((word) => (/^[\w./:=,@()%+-]+$/.test(word) ? word : `'${word}'`))
    .join(' ');
}

/** The version of the service; null if it does not say. */
async function readVersion(service: Service): Promise<string | null> {
  const answer = await sendOnce(service, { method: 'GET', path: '/openapi.json', global: true }).catch(() => null);
  return description.safeParse(answer?.json).data?.info.version ?? null;
}
