// Shared by the tests of the dispatcher: units, reports of threads, and a dispatcher with threads that the test
// simulates.
import assert from 'node:assert/strict';
import type { Job, JobReport } from '../../src/domain/job.ts';
import { MAIN_LEDGER } from '../../src/domain/ledger.ts';
import { BY_SERVICE, type NewTransfer } from '../../src/domain/transfer.ts';
import { sizeOf, toStoredUnits, toWaitingUnit, type Unit } from '../../src/main/engine/unit.ts';
import { startDispatcher } from '../support/fake-pool.ts';
import { newAccount, newTransfer } from '../support/jobs.ts';

export const OTHER_LEDGER = { id: 2, name: 'other' };
export const BROKEN: JobReport = { result: 'poisoned', reason: 'culprit', sqlState: '22P02' };
export const UNAVAILABLE = {
  result: 'unavailable',
  reason: 'away',
  sqlState: null,
  mayBeSettled: false,
  trouble: 'database',
} as const;
export const LOST: JobReport = { ...UNAVAILABLE, mayBeSettled: true };
export const LOCKED: JobReport = { ...UNAVAILABLE, reason: 'lock timeout', sqlState: '55P03', trouble: 'job' };

/** What a transfer without a group is found by. */
export function named(id: string) {
  return { id, group: null };
}

export function group(name: string, size: number): NewTransfer[] {
  return Array.from({ length: size }, (_, position) =>
    newTransfer({ id: `${name}${position}`, group: { id: name, position, atomic: true } }),
  );
}

/** Transfers of the intake log as units: each alone, and each atomic group as a whole. */
export function stored(
  transfers: readonly (string | NewTransfer)[],
  { adoptions = 0, loneDeaths = 0, ledger = MAIN_LEDGER } = {},
): Unit[] {
  return toStoredUnits(
    transfers.map((each) => ({
      ledger,
      transfer: typeof each === 'string' ? newTransfer({ id: each }) : each,
      storedAtMicros: 1n,
      adoptions,
      loneDeaths,
    })),
  );
}

/** A request whose caller waits. */
export function waiting(ids: readonly string[], ledger = MAIN_LEDGER): Unit {
  return toWaitingUnit(
    ledger,
    ids.map((id) => newTransfer({ id })),
    null,
  );
}

/** A request that opens accounts. */
export function opening(numbers: readonly string[]): Unit {
  const accounts = numbers.map((number) => newAccount(number));
  return toWaitingUnit(MAIN_LEDGER, [], null, { accounts, by: BY_SERVICE });
}

export function idsOf(job: Job): string {
  return job.transfers.id.join();
}

export function runsOf(jobs: readonly Job[]): string[] {
  return jobs.map((job) => `${idsOf(job)}${job.mode === 'quarantine' ? ' quarantined' : ''}`);
}

export async function start(options: Parameters<typeof startDispatcher>[0] = {}) {
  const started = await startDispatcher(options);
  const { admission, dispatcher } = started;
  const admit = (unit: Unit) => assert.ok(admission.tryAdmit(sizeOf(unit), unit.bytes));
  return {
    ...started,
    push: (units: readonly Unit[]) => {
      units.forEach(admit);
      dispatcher.push(units);
    },
    submit: (unit: Unit) => {
      admit(unit);
      return dispatcher.submit(unit);
    },
  };
}
