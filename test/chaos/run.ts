// Runs a fault for some rounds: load, fault, recovery, retries, quiet, judgment.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { drawFrom, type Random } from '../support/random.ts';
import { until } from '../support/until.ts';
import { type Attempt, isAccepted } from './attempt.ts';
import { Callers, SHOP } from './callers.ts';
import type { Fault } from './fault.ts';
import { type Evidence, judgeAnswers, judgeBooks, type Violation } from './judge.ts';
import type { Postgres } from '../support/postgres.ts';
import { System } from './system.ts';

export type RunOptions = {
  postgres: Postgres;
  rounds: number;
  seed: number;
  short: boolean;
  /** The file to which every answer is written, a line each. */
  recordPath: string | null;
  /** Ends the run: the current round is not judged, and everything is cleaned up. */
  signal?: AbortSignal;
  log: (sentence: string) => void;
};

/** The result of a fault: a row of the table. */
export type Result = {
  fault: string;
  /** Why it could not be made here, or null. */
  notRun: string | null;
  rounds: number;
  requests: number;
  accepted: number;
  /** Whether every round recovered in time, by itself. */
  recovered: boolean;
  /** How long each round took to recover, in milliseconds. */
  recoveryMs: number[];
  violations: Violation[];
};

const LOAD_MS = { min: 300, max: 1200 };
const LOAD_AFTER_MS = { min: 100, max: 400 };
/** Shorter silences make shorter tests; a long run has the defaults. */
const SHORT_SILENCES = {
  HEARTBEAT_MS: '250',
  ORPHANED_AFTER_MS: '1500',
  DB_STATEMENT_TIMEOUT_MS: '5000',
  DB_LOCK_TIMEOUT_MS: '2500',
  DB_IDLE_IN_TRANSACTION_TIMEOUT_MS: '4000',
  DB_ANSWER_TIMEOUT_MS: '6000',
};
/** How long a system is watched after its time to recover, before it is restarted. */
const GRACE_MS = 30_000;
/** A fault from which the system does not recover is not repeated endlessly. */
const HELPED_MAX = 2;

/** Runs one fault. Never throws for what the service does wrong: that is in the result. */
export async function runFault(fault: Fault, options: RunOptions): Promise<Result> {
  const result: Result = {
    fault: fault.name,
    notRun: (await fault.impediment?.()) ?? null,
    rounds: 0,
    requests: 0,
    accepted: 0,
    recovered: true,
    recoveryMs: [],
    violations: [],
  };
  if (result.notRun !== null) return result;
  const stretches = fault.fresh
    ? Array.from({ length: options.rounds }, (_, round) => [round, round + 1])
    : [[0, options.rounds]];
  for (const [from = 0, to = 0] of stretches) {
    await withScope(async (scope) => {
      await runStretch(scope, fault, { from, to }, options, result);
    });
  }
  return result;
}

/** Rounds on one system, and then its books. */
async function runStretch(
  scope: Scope,
  fault: Fault,
  { from, to }: { from: number; to: number },
  options: RunOptions,
  result: Result,
): Promise<void> {
  const { short, postgres, recordPath, log } = options;
  const drawAt = (moment: string): Random => drawFrom(seedOf(`${options.seed} ${fault.name} ${moment}`));
  const timing = short ? SHORT_SILENCES : {};
  const shape = { ...fault.shape, env: { ...timing, ...fault.shape.env } };
  const system = await System.open(scope, postgres, shape);
  await system.addKey();
  if (fault.pair) await system.addLedger(SHOP.ledger);
  const all: Attempt[] = [];
  const callersAt = (round: number): Callers => {
    const [targets, keys] = [() => system.urls, () => system.keys];
    const callers = new Callers({
      targets,
      keys,
      draw: drawAt(`load ${round}`),
      round,
      pair: fault.pair ?? false,
      recordPath,
    });
    onEnd(scope, () => callers.close());
    return callers;
  };
  // Names must not be those of a round.
  const first = callersAt(-1 - from);
  await first.openAccounts();
  all.push(...first.attempts);
  await fault.prepare?.({ system, draw: drawAt('preparation'), short });

  let helped = 0;
  for (let round = from; round < to && helped < HELPED_MAX && !options.signal?.aborted; round += 1) {
    const callers = callersAt(round);
    const context = { system, callers, draw: drawAt(`round ${round}`), short };
    const violations: Violation[] = [];
    callers.start();
    await sleep(context.draw.whole(LOAD_MS.min, LOAD_MS.max));
    await fault.inject(context);
    const over = performance.now();
    const recovery = recover(system, callers, fault.recoverMs, options.signal);
    await sleep(context.draw.whole(LOAD_AFTER_MS.min, LOAD_AFTER_MS.max));
    await callers.stop();
    const recovered = await recovery;
    // Ctrl-C at a terminal interrupts the services, too.
    if (options.signal?.aborted) return;
    const recoveryMs = Math.round((recovered.at ?? performance.now()) - over);
    result.recoveryMs.push(recoveryMs);
    if (recovered.at === null || recoveryMs > fault.recoverMs) {
      result.recovered = false;
      const detail = `round ${round}: ${recovered.at === null ? 'helped' : 'well'} after ${recoveryMs} ms; at last: ${recovered.why}`;
      violations.push({ rule: `well again within ${fault.recoverMs} ms`, detail });
    }
    if (recovered.at === null) {
      helped += 1;
      await help(system, shape.services);
    }
    const undecided = await callers.settleDoubts();
    if (undecided.length > 0) {
      violations.push({
        rule: 'a repeated request is answered',
        detail: `${undecided.length}, such as ${undecided[0]}`,
      });
    }
    await until(async () => (await system.countPending()) === 0, { timeoutMs: GRACE_MS, what: 'quiet' }).catch(
      () => {},
    );
    await fault.restore?.(context);
    await system.started();
    violations.push(...(await judgeAnswers({ ...evidenceOf(system), attempts: callers.attempts })));
    violations.push(...system.complaints.splice(0).map((detail) => ({ rule: 'the fault itself', detail })));
    all.push(...callers.attempts);
    result.rounds += 1;
    result.requests += callers.attempts.length;
    result.accepted += callers.attempts.filter(isAccepted).length;
    result.violations.push(...violations);
    log(
      `${fault.name} ${round}: ${callers.attempts.length} requests, ${tellAnswers(callers.attempts)}; recovered in ${recoveryMs} ms, ${violations.length} violations`,
    );
    for (const { rule, detail } of violations.slice(0, 5)) log(`  ${rule}: ${detail.slice(0, 1000)}`);
  }
  if (options.signal?.aborted) return;
  const evidence = { ...evidenceOf(system), attempts: all };
  const final = [...(await judgeAnswers(evidence)), ...(await judgeBooks(evidence)), ...(await runAudit(system))];
  const known = new Set(result.violations.map(({ rule, detail }) => `${rule} ${detail}`));
  result.violations.push(...final.filter(({ rule, detail }) => !known.has(`${rule} ${detail}`)));
}

function evidenceOf({ admin, revocations }: System): Omit<Evidence, 'attempts'> {
  return { admin, revocations };
}

/** The operator's view: the service's own audit must agree with the judge. */
async function runAudit(system: System): Promise<Violation[]> {
  const audit = await system.run(['audit']);
  const { code, signal } = await audit.exited;
  if (code === 0) return [];
  return [{ rule: 'the audit ends with 0', detail: `${signal ?? code}: ${audit.output().slice(-500)}` }];
}

/**
 * Waits until every service is ready and settles a new transfer, and nothing is pending. `at` is null if that did not
 * happen.
 */
async function recover(
  system: System,
  callers: Callers,
  boundMs: number,
  signal: AbortSignal | undefined,
): Promise<{ at: number | null; why: string }> {
  /** The last failed check. */
  let why = '';
  try {
    const at = await until(
      async () => {
        signal?.throwIfAborted();
        const ailment = await findAilment(system, callers);
        if (ailment === null) return performance.now();
        why = ailment;
        return undefined;
      },
      { timeoutMs: boundMs + GRACE_MS, what: 'the recovery of the system' },
    );
    return { at, why };
  } catch {
    return { at: null, why };
  }
}

/** The failed check, or null. */
async function findAilment(system: System, callers: Callers): Promise<string | null> {
  await system.started();
  if (system.urls.length === 0) return 'no service runs';
  for (const url of system.urls) {
    const ready = await fetch(new URL('/readyz', url), { signal: AbortSignal.timeout(2000) }).catch(() => null);
    await ready?.arrayBuffer();
    if (ready?.status !== 200) return `/readyz is answered ${ready?.status ?? 'not at all'}`;
    const probe = await callers.probe(url);
    if (probe.reported[0]?.status !== 'completed')
      return `a new transfer ends as ${probe.status} ${probe.code} ${probe.broken}`;
  }
  const pending = await system.countPending();
  return pending === 0 ? null : `${pending} transfers are pending`;
}

/** Acts as an operator: kills the services and starts them again. */
async function help(system: System, services: number): Promise<void> {
  for (const place of system.services.keys()) await system.kill(place);
  for (let place = 0; place < services; place += 1) await system.start(place);
}

/** How often each kind of answer came. */
function tellAnswers(attempts: readonly Attempt[]): string {
  const kinds = attempts.map(({ status, code, broken }) =>
    status === null ? `no answer (${broken})` : `${status}${code ? ` ${code}` : ''}`,
  );
  return [...Map.groupBy(kinds, (kind) => kind)]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([kind, { length }]) => `${length} × ${kind}`)
    .join(', ');
}

function seedOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32BE();
}

/** Runs `work` with a scope of its own, and cleans up what it has acquired. */
export async function withScope(work: (scope: Scope) => Promise<void>): Promise<void> {
  let cleanup = async (): Promise<void> => {};
  const after = (next: () => Promise<void>): void => {
    cleanup = next;
  };
  try {
    await work({ after });
  } finally {
    await cleanup();
  }
}

/** Makes the file for answers, empty. */
export function beginRecord(path: string): void {
  writeFileSync(path, '');
}
