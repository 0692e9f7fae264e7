// Bounds the bytes that all requests of a kind hold in memory together.
import { Problem, type ProblemCode } from './problem.ts';

const RETRY_AFTER_SECONDS = 1;

export class ByteBudget {
  readonly #code: ProblemCode;
  #free: number;

  /** `code`: of the problem for bytes that do not fit. */
  constructor(bytesMax: number, code: ProblemCode) {
    this.#free = bytesMax;
    this.#code = code;
  }

  /** Takes bytes. Throws the problem if there are not enough. */
  take(bytes: number): void {
    if (bytes > this.#free) {
      throw new Problem(
        this.#code,
        'The memory for such requests is in use; nothing was stored. Try again, or send or request less.',
        {
          headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) },
        },
      );
    }
    this.#free -= bytes;
  }

  /** Takes bytes even if there are not enough, for an answer that can no longer be refused. */
  takeAnyway(bytes: number): void {
    this.#free -= bytes;
  }

  release(bytes: number): void {
    this.#free += bytes;
  }
}
