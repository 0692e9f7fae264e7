// A time in which no job starts, after trouble of the database. Each is longer than the one before it, until a job succeeds.

const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 2000;

export class Pause {
  readonly #onEnd: () => void;
  #ms = 0;
  #active = false;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  get active(): boolean {
    return this.#active;
  }

  begin(): void {
    if (this.#active) return;
    this.#active = true;
    this.#ms = Math.min(PAUSE_MS_MAX, Math.max(PAUSE_MS_MIN, this.#ms * 2));
    // Jittered, so that several processes do not return at once.
    const ms = this.#ms * (0.5 + Math.random());
    setTimeout(() => {
      this.#active = false;
      this.#onEnd();
    }, ms);
  }

  /** A job has succeeded: the next pause is short again. */
  reset(): void {
    this.#ms = 0;
  }
}
