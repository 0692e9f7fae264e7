// Collects refusals, and writes them to the audit log in batches. Equal ones are counted, so that a flood of refused
// requests costs a few rows. Refusals beyond the bounds are counted together.
import type { ConnectionPool } from '../../db/connection/connect.ts';
import { toError } from '../../db/connection/errors.ts';
import { type Refusals, recordRefusals } from '../../db/ledger/administration.ts';
import type { Logger } from '../../logger.ts';

const FLUSH_MS = 2000;
/** How many different refusals a batch has; an attacker chooses addresses freely. */
const DIFFERENT_MAX = 50;

export type Refusal = Omit<Refusals, 'count'>;

export class RefusalLog {
  readonly #pool: ConnectionPool;
  readonly #logger: Logger;
  #collected = new Map<string, Refusals>();
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  #timer: NodeJS.Timeout | undefined;

  constructor({ pool, logger }: { pool: ConnectionPool; logger: Logger }) {
    this.#pool = pool;
    this.#logger = logger;
  }

  start(): void {
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS);
  }

  /** Writes what was collected, and ends. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
    this.#flush();
    await this.#writing;
  }

  note(refusal: Refusal): void {
    const full = this.#collected.size >= DIFFERENT_MAX;
    const key = JSON.stringify([refusal.ledgerId, refusal.code, refusal.actor, refusal.subject, refusal.address]);
    const noted = full && !this.#collected.has(key) ? { ...refusal, actor: null, subject: '', address: '' } : refusal;
    const name = noted === refusal ? key : JSON.stringify([noted.ledgerId, noted.code]);
    const count = (this.#collected.get(name)?.count ?? 0) + 1;
    this.#collected.set(name, { ...noted, count });
  }

  #flush(): void {
    if (this.#isWriting || this.#collected.size === 0) return;
    const batch = [...this.#collected.values()];
    this.#collected = new Map();
    this.#isWriting = true;
    this.#writing = recordRefusals(this.#pool, batch)
      .catch((error: unknown) => {
        const refusals = batch.reduce((sum, { count }) => sum + count, 0);
        this.#logger.error({ reason: toError(error).message, refusals }, 'refusals not recorded');
      })
      .finally(() => {
        this.#isWriting = false;
      });
  }
}
