// Accepted transfers that the database lacks: a standby was promoted that had not received them. This process still has
// those that it had not settled, and stores them again, with the key that their first intake claimed. So a caller that
// repeats the request and this process do not both have effect.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../logger.ts';
import type { Admission } from './admission.ts';
import type { AdmissionShares } from './admission-shares.ts';
import type { Intake } from './intake.ts';
import type { Metrics } from './metrics.ts';
import { namedBy, sizeOf, toStoredUnit, type Unit } from './unit.ts';

const PAUSE_MS = 1000;

type Parts = {
  intake: Intake;
  admission: Admission;
  ledgerShares: AdmissionShares;
  /** Takes over a stored unit. */
  push: (unit: Unit) => void;
  metrics: Metrics;
  logger: Logger;
};

type Restored = Parameters<Metrics['missing']>[0];

export class Restoring {
  readonly #parts: Parts;
  #stopped = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Stores units of one job again. */
  restore(units: readonly Unit[]): void {
    void this.#restore(units);
  }

  stop(): void {
    this.#stopped = true;
  }

  async #restore(units: readonly Unit[]): Promise<void> {
    const outcomes = await Promise.all(units.map(async (unit) => [unit, await this.#store(unit)] as const));
    for (const [outcome, restored] of Map.groupBy(outcomes, ([, each]) => each)) {
      const ids = restored.flatMap(([{ transfers }]) => transfers.map(({ transfer }) => transfer.id));
      const ledger = units[0]?.ledger.name;
      this.#parts.metrics.missing(outcome, ids.length);
      this.#parts.logger.error({ ledger, outcome, transfer_ids: ids }, 'accepted transfers missing from the database');
    }
  }

  async #store(unit: Unit): Promise<Restored> {
    // Its caller has had its answer, so it counts for its ledger only.
    const { caller: _, ...others } = unit;
    const { ledger, claimed } = unit;
    const transfers = unit.transfers.map(({ transfer }) => transfer);
    const [first] = transfers;
    // Under an unknown key, a caller may have repeated it already.
    if (!first || claimed === 'unknown') return 'lost';
    const { intake, admission, ledgerShares, push } = this.#parts;
    while (!this.#stopped) {
      const accepted = await intake.accept(ledger, { transfers, namedId: namedBy(first), idempotency: claimed });
      switch (accepted.result) {
        case 'stored':
          admission.admitRecovered(sizeOf(unit), unit.bytes);
          ledgerShares.taken(ledger.name, sizeOf(unit));
          push(toStoredUnit({ ...others, idempotency: claimed }, accepted.createdAtMicros));
          return 'stored_again';
        case 'stored_before':
          return 'stored_again';
        case 'replayed':
          return 'repeated';
        case 'poisoned':
          // An attempt whose answer was lost has stored it.
          return 'stored_again';
        case 'unavailable':
          await sleep(PAUSE_MS);
      }
    }
    return 'lost';
  }
}
