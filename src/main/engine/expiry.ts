// Ends due holds. Every process does so: the job of an expiry whose hold has already ended writes nothing. So an expiry
// needs no claim, and nothing is stored before its job commits.
import { randomUUIDv7 } from 'node:crypto';
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { accountKeysOf, type DueHold, loadDueHolds, type Skipped } from '../../db/ledger/expiries.ts';
import { BY_SERVICE, type NewTransfer } from '../../domain/transfer.ts';
import type { Tracer, UnitSpan } from '../tracer.ts';
import type { Admission } from './admission.ts';
import type { AdmissionShares } from './admission-shares.ts';
import { Counts } from './counts.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { QueuedUnit } from './queued-unit.ts';
import { toWaitingUnit } from './unit.ts';

const PAGE_MAX = 1000;
/** How long the next page waits for one that is delayed, for example by a lock. */
const PAGE_WAIT_MS = 1000;
/** How many may be in progress together. */
const TOTAL_MAX = 4000;
/** How long a hold is skipped after its expiry failed: each time longer. */
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 300_000;

/** A part for each ledger and each account, so that a lock hardly delays the expiries of others. */
function boundsOf({ ownMax }: Admission) {
  const total = Math.min(TOTAL_MAX, ownMax.count);
  return { total, ledger: Math.ceil(total / 2), account: Math.ceil(total / 4) };
}

export class Expiry {
  readonly #pool: ConnectionPool;
  readonly #admission: Admission;
  readonly #bounds: ReturnType<typeof boundsOf>;
  readonly #ledgerShares: AdmissionShares;
  readonly #dispatcher: Dispatcher;
  readonly #tracer: Tracer | null;
  /** Holds whose expiry is in progress. */
  readonly #expiring = new Set<string>();
  /** The number of these holds, by ledger and by account. */
  readonly #ofLedger = new Counts<number>();
  readonly #ofAccount = new Counts<string>();
  /** Holds whose expiry failed, and when they are retried. */
  readonly #failed = new Map<string, { retryAt: number; delayMs: number }>();

  constructor(options: {
    pool: ConnectionPool;
    admission: Admission;
    ledgerShares: AdmissionShares;
    dispatcher: Dispatcher;
    tracer: Tracer | null;
  }) {
    this.#pool = options.pool;
    this.#admission = options.admission;
    this.#bounds = boundsOf(options.admission);
    this.#ledgerShares = options.ledgerShares;
    this.#dispatcher = options.dispatcher;
    this.#tracer = options.tracer;
  }

  /** Ends holds until none is due, except delayed ones. */
  async run(stopped: () => boolean): Promise<void> {
    while (!stopped()) {
      const startedAt = performance.now();
      const due = await loadDueHolds(this.#pool, PAGE_MAX, this.#skipped());
      const beginning = due.filter((hold) => this.#tryCount(hold));
      if (beginning.length === 0) return;
      const span = this.#tracer?.beginWork({ name: 'expire holds', startedAt, count: beginning.length }) ?? null;
      const queued = beginning.map((hold) => this.#begin(hold, span));
      await Promise.all(queued.map(async (each) => await each.end(PAGE_WAIT_MS)));
      span?.end();
    }
  }

  #skipped(): Skipped {
    const now = performance.now();
    const delayed: string[] = [];
    for (const [id, { retryAt }] of this.#failed) {
      if (retryAt > now) delayed.push(id);
      // It is no longer due: another process has ended it.
      else if (retryAt + RETRY_MS_MAX < now) this.#failed.delete(id);
    }
    return {
      holdIds: [...this.#expiring, ...delayed],
      ledgerIds: this.#ofLedger.atLeast(this.#bounds.ledger),
      accountKeys: this.#ofAccount.atLeast(this.#bounds.account),
    };
  }

  /** Counts a hold whose expiry may begin. */
  #tryCount(hold: DueHold): boolean {
    const mayBegin =
      this.#expiring.size < this.#bounds.total &&
      this.#ofLedger.of(hold.ledger.id) < this.#bounds.ledger &&
      accountKeysOf(hold).every((key) => this.#ofAccount.of(key) < this.#bounds.account);
    if (mayBegin) this.#count(hold, 1);
    return mayBegin;
  }

  /** `hold` is counted. */
  #begin(hold: DueHold, span: UnitSpan | null): QueuedUnit {
    const unit = { ...toWaitingUnit(hold.ledger, [toExpiry(hold)], null), span };
    this.#admission.admitRecovered(1, unit.bytes);
    this.#ledgerShares.taken(hold.ledger.name, 1);
    const queued = this.#dispatcher.submit(unit);
    void queued.end(Infinity).then(() => this.#ended(hold, queued));
    return queued;
  }

  #ended(hold: DueHold, { result }: QueuedUnit): void {
    this.#count(hold, -1);
    if (result?.state === 'settled' && result.transfers.every(({ failureCode }) => failureCode === null)) {
      this.#failed.delete(hold.id);
      return;
    }
    const delayMs = Math.min(RETRY_MS_MAX, Math.max(RETRY_MS_MIN, 2 * (this.#failed.get(hold.id)?.delayMs ?? 0)));
    this.#failed.set(hold.id, { retryAt: performance.now() + delayMs, delayMs });
  }

  #count(hold: DueHold, change: 1 | -1): void {
    if (change > 0) this.#expiring.add(hold.id);
    else this.#expiring.delete(hold.id);
    this.#ofLedger.add(hold.ledger.id, change);
    for (const key of accountKeysOf(hold)) this.#ofAccount.add(key, change);
  }
}

function toExpiry({ id, fromAccount, toAccount, currency }: DueHold): NewTransfer {
  return {
    id: randomUUIDv7(),
    kind: 'expiry',
    fromAccount,
    toAccount,
    amount: null,
    currency,
    parentId: id,
    group: null,
    conditions: null,
    finalCapture: false,
    expiresIn: null,
    requestId: null,
    by: BY_SERVICE,
    rate: null,
    remoteAccount: null,
    description: 'Hold expired',
    metadata: null,
  };
}
