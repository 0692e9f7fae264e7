// Bounds the bytes that all requests of a kind hold in memory together, and the share of them that one caller holds.
import { ratioOf } from '../shares.ts';
import { Problem, type ProblemCode } from './problem.ts';

const RETRY_AFTER_SECONDS = 1;

/** The budget as one caller takes from it. */
export type CallerBudget = {
  /** Takes bytes. Throws the problem if there are not enough, or if the caller has its share. */
  take(bytes: number): void;
  /** Takes bytes even if there are not enough, for an answer that can no longer be refused. */
  takeAnyway(bytes: number): void;
  release(bytes: number): void;
};

export class ByteBudget {
  readonly #bytesMax: number;
  readonly #code: ProblemCode;
  readonly #ratio: number;
  readonly #held = new Map<string, number>();
  #free: number;

  /**
   * `code`: of the problem for bytes that do not fit. `sharePercent`: how much of it one caller may hold; 100 sets no
   * limit. A caller that holds nothing may take all that is free, so that one large request always fits.
   */
  constructor(bytesMax: number, code: ProblemCode, sharePercent = 100) {
    this.#bytesMax = bytesMax;
    this.#free = bytesMax;
    this.#code = code;
    this.#ratio = ratioOf(sharePercent);
  }

  /** The bytes in memory; more than the budget after answers that could not be refused. */
  get used(): number {
    return this.#bytesMax - this.#free;
  }

  of(caller: string): CallerBudget {
    return {
      take: (bytes) => {
        const held = this.#held.get(caller) ?? 0;
        if (bytes > this.#free) throw this.#refusal('The memory');
        const isBeyondShare = held > 0 && held + bytes > (this.#free - bytes) * this.#ratio;
        if (isBeyondShare) throw this.#refusal('Your share of the memory');
        this.#add(caller, bytes);
      },
      takeAnyway: (bytes) => this.#add(caller, bytes),
      release: (bytes) => this.#add(caller, -bytes),
    };
  }

  #add(caller: string, bytes: number): void {
    this.#free -= bytes;
    const held = (this.#held.get(caller) ?? 0) + bytes;
    if (held > 0) this.#held.set(caller, held);
    else this.#held.delete(caller);
  }

  #refusal(whose: string): Problem {
    return new Problem(
      this.#code,
      `${whose} for such requests is in use; nothing was stored. Try again, or send or request less.`,
      { headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) } },
    );
  }
}
