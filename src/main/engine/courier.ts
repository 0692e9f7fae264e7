// The courier: brings transfers to other ledgers to their end. Every process does so, and needs no claim: each step has an
// id that follows from that of the transfer, so it takes effect once, however often it is ordered.
//
//   open hold ──▶ credit in the other ledger ─ completed ─▶ capture ─▶ ended
//                                            └ refused ───▶ void ────▶ ended
//
// A transfer whose hold this process settles is taken at once. All others are found by rounds, which begin with every
// heartbeat: those of other processes, of a process that stopped, and those whose step failed.
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { toError } from '../../db/connection/errors.ts';
import {
  countOpenTransfers,
  type CreditOutcome,
  type FoundCredit,
  type HoldName,
  holdKeyOf,
  loadCredits,
  loadNamedTransfers,
  loadOpenTransfers,
  pairKeyOf,
  type OpenTransfer,
  type Skipped,
} from '../../db/ledger/courier.ts';
import { contraOf } from '../../domain/between-ledgers.ts';
import type { Ledger } from '../../domain/ledger.ts';
import type { NewTransfer } from '../../domain/transfer.ts';
import type { Logger } from '../../logger.ts';
import type { Admission } from './admission.ts';
import type { AdmissionShares } from './admission-shares.ts';
import { Counts } from './counts.ts';
import type { Dispatcher } from './dispatcher.ts';
import { toCredit, toEnd } from './courier-steps.ts';
import type { UnitResult } from './queued-unit.ts';
import { bytesOf, toWaitingUnit, type Unit } from './unit.ts';

const PAGE_MAX = 250;
/** How long the next page waits for one that is delayed, for example by a lock. */
const PAGE_WAIT_MS = 1000;
/**
 * How many transfers may be in progress from one ledger to another, and from or to a ledger. So a slow ledger delays its
 * own transfers, and leaves room for those of the ledgers that send to it or receive from it.
 */
const PAIR_MAX = 125;
const LEDGER_MAX = 1000;
/** How many may be in progress together: the bound of memory. */
const TOTAL_MAX = 4000;

function boundsOf({ ownMax: { count, bytes } }: Admission) {
  const total = Math.min(TOTAL_MAX, count);
  // In a small queue no part is for others: those that wait for one account would soon fill it, and the pair would stand still.
  return { total, bytes, ledger: Math.min(LEDGER_MAX, total), pair: Math.min(PAIR_MAX, total) };
}

/** How long a transfer is skipped after a step failed: each time longer. */
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 300_000;
const FAILED_MAX = 10_000;
/** The open transfers of the metrics are counted up to this number. */
const COUNT_MAX = 10_000;

/** For the metrics. */
export type CourierFigures = {
  /** Transfers whose credit completed, and whose credit was refused: those that this process ended. */
  delivered: number;
  refused: number;
  failedSteps: number;
  /** In all ledgers, as of the last round. */
  open: number;
  oldestOpenSeconds: number;
};

/** A transfer in progress: its hold, the account of the ledger that it goes to, and about how many bytes it takes. */
type Delivery = { readonly hold: HoldName; readonly contra: string; readonly bytes: number };

export class Courier {
  readonly figures: CourierFigures = { delivered: 0, refused: 0, failedSteps: 0, open: 0, oldestOpenSeconds: 0 };
  readonly #roundPool: ConnectionPool;
  readonly #pool: ConnectionPool;
  readonly #admission: Admission;
  readonly #bounds: ReturnType<typeof boundsOf>;
  readonly #ledgerShares: AdmissionShares;
  readonly #dispatcher: Dispatcher;
  readonly #logger: Logger;
  /** By the keys of their holds. */
  readonly #deliveries = new Map<string, Promise<void>>();
  readonly #ofSource = new Counts<number>();
  readonly #ofTarget = new Counts<string>();
  readonly #ofPair = new Counts<string>();
  /** The text of all deliveries, about. */
  #bytes = 0;
  /** Transfers of which a step failed, and when they are retried. */
  readonly #failed = new Map<string, { retryAt: number; delayMs: number }>();
  /** Holds that this process has settled, and that were not read yet. */
  #noticed: { readonly hold: HoldName; readonly found: (transfer: OpenTransfer | null) => void }[] = [];
  #reading = false;
  /** Whether there was no room for a hold, so that a round should look for it as soon as there is. */
  #hasMissed = false;
  #round: Promise<void> | null = null;
  #readFailed = false;
  #stopped = false;

  /** `roundPool`: for rounds, which then do not wait for the look-ups of callers. `pool`: for what was just settled. */
  constructor(options: {
    roundPool: ConnectionPool;
    pool: ConnectionPool;
    admission: Admission;
    ledgerShares: AdmissionShares;
    dispatcher: Dispatcher;
    logger: Logger;
  }) {
    this.#roundPool = options.roundPool;
    this.#pool = options.pool;
    this.#admission = options.admission;
    this.#bounds = boundsOf(options.admission);
    this.#ledgerShares = options.ledgerShares;
    this.#dispatcher = options.dispatcher;
    this.#logger = options.logger;
  }

  /** Takes the transfers to other ledgers of a unit that has ended. If there is no room, a round finds them later. */
  notice({ ledger, transfers }: Unit): void {
    for (const { transfer } of transfers) {
      if (transfer.remoteAccount === null || transfer.kind !== 'hold') continue;
      const hold = { ledgerId: ledger.id, id: transfer.id };
      const delivery = { hold, contra: transfer.toAccount, bytes: bytesOf(transfer) };
      if (!this.#mayBegin(delivery)) {
        this.#hasMissed = true;
        continue;
      }
      const { promise, resolve } = Promise.withResolvers<OpenTransfer | null>();
      this.#noticed.push({ hold, found: resolve });
      void this.#begin(delivery, async () => {
        const found = await promise;
        if (found) await this.#deliver(found, undefined);
      });
    }
    if (this.#noticed.length > 0 && !this.#reading) void this.#readNoticed();
  }

  /** Whether a transfer is in progress here. */
  has(ledger: Ledger, id: string): boolean {
    return this.#deliveries.has(holdKeyOf({ ledgerId: ledger.id, id }));
  }

  /** Resolves when a transfer that is in progress here has ended, or its step has failed, or after `timeoutMs`. */
  async end(ledger: Ledger, id: string, timeoutMs: number): Promise<void> {
    const ended = this.#deliveries.get(holdKeyOf({ ledgerId: ledger.id, id }));
    if (ended) await within(ended, timeoutMs);
  }

  /** Begins a round, unless one is running. */
  wake(): void {
    if (this.#stopped || this.#round) return;
    this.#round = this.#runRound().finally(() => {
      this.#round = null;
    });
  }

  /** Takes no more transfers. Those in progress go on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#round;
  }

  /** Resolves with true when none is in progress, or with false after `timeoutMs`. Others end what remains. */
  async drain(timeoutMs: number): Promise<boolean> {
    await within(Promise.all(this.#deliveries.values()), timeoutMs);
    return this.#deliveries.size === 0;
  }

  async #runRound(): Promise<void> {
    try {
      const { open, oldestSeconds } = await countOpenTransfers(this.#roundPool, COUNT_MAX);
      this.figures.open = open;
      this.figures.oldestOpenSeconds = oldestSeconds;
      if (open > 0) await this.#takePages();
      this.#readFailed = false;
    } catch (error) {
      this.#warn(error);
    }
  }

  #warn(error: unknown): void {
    if (!this.#readFailed) this.#logger.warn({ reason: toError(error).message }, 'courier scan failed');
    this.#readFailed = true;
  }

  async #takePages(): Promise<void> {
    while (!this.#stopped && this.#deliveries.size < this.#bounds.total) {
      const page = await loadOpenTransfers(this.#roundPool, PAGE_MAX, this.#skipped());
      const fresh = page.filter((each) => this.#mayBegin(deliveryOf(each)));
      if (fresh.length === 0) return;
      // Most have no credit yet. To order one again costs the others of its job a second attempt.
      const credits = new Map<string, FoundCredit>();
      for (const [target, transfers] of byTarget(fresh)) {
        for (const [key, found] of await loadCredits(this.#roundPool, target, transfers)) credits.set(key, found);
      }
      const begun = fresh.flatMap((transfer) => {
        const delivery = deliveryOf(transfer);
        // It may have been noticed, or the ledger may have been filled, since.
        if (!this.#mayBegin(delivery)) return [];
        const credit = credits.get(holdKeyOf(delivery.hold));
        return [this.#begin(delivery, async () => await this.#deliver(transfer, credit))];
      });
      if (begun.length === 0) return;
      await within(Promise.all(begun), PAGE_WAIT_MS);
    }
  }

  #skipped(): Skipped {
    const now = performance.now();
    const delayed: string[] = [];
    for (const [key, { retryAt }] of this.#failed) {
      if (retryAt > now) delayed.push(key);
      // It is no longer open: another process has ended it.
      else if (retryAt + RETRY_MS_MAX < now) this.#failed.delete(key);
    }
    return {
      holdKeys: [...this.#deliveries.keys(), ...delayed],
      sourceIds: this.#ofSource.atLeast(this.#bounds.ledger),
      contras: this.#ofTarget.atLeast(this.#bounds.ledger),
      pairs: this.#ofPair.atLeast(this.#bounds.pair),
    };
  }

  #mayBegin({ hold, contra, bytes }: Delivery): boolean {
    return (
      !this.#stopped &&
      (this.#bytes === 0 || this.#bytes + bytes <= this.#bounds.bytes) &&
      this.#deliveries.size < this.#bounds.total &&
      !this.#deliveries.has(holdKeyOf(hold)) &&
      this.#ofSource.of(hold.ledgerId) < this.#bounds.ledger &&
      this.#ofTarget.of(contra) < this.#bounds.ledger &&
      this.#ofPair.of(pairKeyOf(hold.ledgerId, contra)) < this.#bounds.pair
    );
  }

  /** Runs `work` as the delivery of a hold. Never rejects. */
  async #begin(delivery: Delivery, work: () => Promise<void>): Promise<void> {
    const key = holdKeyOf(delivery.hold);
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    this.#deliveries.set(key, ended);
    this.#count(delivery, 1);
    try {
      await work();
      this.#failed.delete(key);
    } catch (error) {
      this.#fail(delivery.hold, toError(error));
    }
    this.#deliveries.delete(key);
    this.#count(delivery, -1);
    resolve();
    if (!this.#hasMissed) return;
    this.#hasMissed = false;
    this.wake();
  }

  #count({ hold: { ledgerId }, contra, bytes }: Delivery, change: 1 | -1): void {
    this.#bytes += change * bytes;
    this.#ofSource.add(ledgerId, change);
    this.#ofTarget.add(contra, change);
    this.#ofPair.add(pairKeyOf(ledgerId, contra), change);
  }

  #fail(hold: HoldName, error: Error): void {
    const key = holdKeyOf(hold);
    this.figures.failedSteps += 1;
    const delayMs = Math.min(RETRY_MS_MAX, Math.max(RETRY_MS_MIN, 2 * (this.#failed.get(key)?.delayMs ?? 0)));
    if (this.#failed.has(key) || this.#failed.size < FAILED_MAX) {
      this.#failed.set(key, { retryAt: performance.now() + delayMs, delayMs });
    }
    // While the database is away, every transfer fails, and other log lines say why.
    if (error instanceof StepUnavailableError) return;
    const level = error instanceof StepRefusedError ? 'error' : 'warn';
    this.#logger[level](
      { transfer_id: hold.id, ledger_id: hold.ledgerId, reason: error.message },
      'courier step failed',
    );
  }

  async #readNoticed(): Promise<void> {
    this.#reading = true;
    while (this.#noticed.length > 0) {
      const noticed = this.#noticed;
      this.#noticed = [];
      const read = loadNamedTransfers(
        this.#pool,
        noticed.map(({ hold }) => hold),
      );
      // A round finds them, if the database cannot be reached now.
      const open = await read.catch((error: unknown): OpenTransfer[] => {
        this.#warn(error);
        return [];
      });
      const found = new Map(open.map((transfer) => [holdKeyOf(nameOf(transfer)), transfer]));
      for (const each of noticed) each.found(found.get(holdKeyOf(each.hold)) ?? null);
    }
    this.#reading = false;
  }

  /** Orders the steps that remain. `credit`: how it ended, if that is known. */
  async #deliver(transfer: OpenTransfer, credit: FoundCredit | undefined): Promise<void> {
    const code = credit === undefined ? await this.#credit(transfer) : outcomeOf(credit);
    const step = code === null ? 'capture' : 'void';
    const result = await this.#order(transfer.source, toEnd(transfer, step, code));
    if (result.state === 'settled_elsewhere') {
      // By another process, unless this step was refused earlier: then it would be ordered for ever, without a pause.
      const open = await loadNamedTransfers(this.#pool, [nameOf(transfer)]);
      if (open.length > 0) throw new StepRefusedError(`The ${step} was refused earlier.`);
      return;
    }
    const refusal = result.state === 'settled' ? result.transfers[0]?.failureCode : result.state;
    if (refusal !== null && refusal !== undefined) throw new StepRefusedError(`The ${step} was refused: ${refusal}.`);
    this.figures[code === null ? 'delivered' : 'refused'] += 1;
  }

  /** Credits the account in the other ledger; returns how that ended. */
  async #credit(transfer: OpenTransfer): Promise<CreditOutcome> {
    const result = await this.#order(transfer.target, toCredit(transfer));
    if (result.state === 'settled') {
      const [credit] = result.transfers;
      if (!credit) throw new TypeError('The credit was settled without an outcome.');
      return credit.failureCode;
    }
    const credits = await loadCredits(this.#pool, transfer.target, [transfer]);
    const credit = credits.get(holdKeyOf(nameOf(transfer)));
    if (credit === undefined) throw new StepUnavailableError('The credit was not found.');
    return outcomeOf(credit);
  }

  async #order(ledger: Ledger, transfer: NewTransfer): Promise<UnitResult> {
    const unit = toWaitingUnit(ledger, [transfer], null);
    this.#admission.admitRecovered(1, unit.bytes);
    this.#ledgerShares.taken(ledger.name, 1);
    const queued = this.#dispatcher.submit(unit);
    await queued.end(Infinity);
    const { result } = queued;
    if (result === null || result.state === 'unavailable') throw new StepUnavailableError('The database is away.');
    if (result.state === 'poisoned') throw new Error(`The ${transfer.kind} breaks its job.`);
    return result;
  }
}

/** The step may be ordered again, and nothing is wrong with it. */
class StepUnavailableError extends Error {}

/** A capture or void was refused, or cannot be ordered, so the transfer can never end by itself. It is a defect, or a forgery. */
class StepRefusedError extends Error {}

/** The end of a hold may only follow from its own credit. */
function outcomeOf(credit: FoundCredit): CreditOutcome {
  if (credit === 'foreign') throw new StepRefusedError('The other ledger has another transfer with this id.');
  return credit.outcome;
}

/** Resolves when `work` has, or after `timeoutMs`. */
async function within(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}

function nameOf({ source, id }: OpenTransfer): HoldName {
  return { ledgerId: source.id, id };
}

function deliveryOf(transfer: OpenTransfer): Delivery {
  return { hold: nameOf(transfer), contra: contraOf(transfer.target.name), bytes: bytesOf(transfer) };
}

function byTarget(transfers: readonly OpenTransfer[]): [Ledger, OpenTransfer[]][] {
  return [...Map.groupBy(transfers, ({ target }) => target.id).values()].flatMap((group) =>
    group.slice(0, 1).map(({ target }): [Ledger, OpenTransfer[]] => [target, group]),
  );
}
