// The destination of log lines. A failed write or a stalled reader must never delay the service or its exit. Lines wait
// in bounded memory, further ones are dropped and counted, and no write blocks.
import { constants, openSync, write } from 'node:fs';

/**
 * Lines are collected until this many characters wait, or until this time has passed. A write wakes a thread, which
 * reports back. That takes several system calls: at 16 KiB, these were nearly half of the cost of a request's line. A
 * pipe holds 64 KiB, so a write fits.
 */
const GATHERED_CHARACTERS = 48 * 1024;
const GATHERED_MS = 100;
/** More than a second of a busy service's lines. The write in progress may hold as many again. */
const HELD_CHARACTERS_MAX = 4 * 1024 * 1024;
/** The longest pause after a failed write (full pipe, full disk, lost reader). The first pause is 1 ms. */
const RETRY_MAX_MS = 100;

/** Lines that all destinations of this process have dropped. */
let dropped = 0;

/** The number of log lines that this process has dropped since it started. */
export function droppedLogLines(): number {
  return dropped;
}

export class LogDestination {
  readonly #fd: number;
  readonly #onDropped: (lines: number) => void;
  #held = '';
  #writing = false;
  #timer: NodeJS.Timeout | null = null;
  #unreported = 0;
  #whenEmpty: (() => void) | null = null;

  /** `onDropped` is called with the number of dropped lines as soon as lines can be written again. */
  constructor(fd: 1 | 2, onDropped: (lines: number) => void) {
    this.#fd = openWithoutBlocking(fd);
    this.#onDropped = onDropped;
  }

  write(line: string): void {
    if (this.#held.length + line.length > HELD_CHARACTERS_MAX) {
      dropped += 1;
      this.#unreported += 1;
      return;
    }
    this.#held += line;
    if (this.#writing) return;
    if (this.#held.length >= GATHERED_CHARACTERS) this.#begin();
    else this.#timer ??= setTimeout(() => this.#begin(), GATHERED_MS).unref();
  }

  /** Resolves when all lines are written, or after `timeoutMs`, whichever comes first. Never rejects. */
  async flush(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#whenEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
      if (!this.#writing) this.#begin();
    });
  }

  #begin(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#held === '') {
      this.#whenEmpty?.();
      return;
    }
    const bytes = Buffer.from(this.#held);
    this.#held = '';
    this.#writing = true;
    this.#write(bytes);
  }

  #write(bytes: Buffer, retryMs = 1): void {
    write(this.#fd, bytes, (error, written) => {
      if (error) {
        setTimeout(() => this.#write(bytes, Math.min(2 * retryMs, RETRY_MAX_MS)), retryMs).unref();
      } else if (written < bytes.length) {
        this.#write(bytes.subarray(written));
      } else {
        this.#writing = false;
        this.#reportDropped();
        if (this.#whenEmpty || this.#held.length >= GATHERED_CHARACTERS) this.#begin();
        else if (this.#held !== '') this.#timer ??= setTimeout(() => this.#begin(), GATHERED_MS).unref();
      }
    });
  }

  #reportDropped(): void {
    const lines = this.#unreported;
    // The report is a log line as well, and must not be dropped.
    if (lines === 0 || this.#held.length > HELD_CHARACTERS_MAX / 2) return;
    this.#unreported = 0;
    this.#onDropped(lines);
  }
}

/**
 * Returns a descriptor of the stream whose writes fail with EAGAIN instead of blocking. A blocked write occupies a
 * thread of libuv forever, and the process cannot exit meanwhile.
 */
function openWithoutBlocking(fd: 1 | 2): number {
  // Accessing Node's stream makes a pipe or a socket non-blocking. Without a listener, its error event would end the
  // process.
  const stream = fd === 1 ? process.stdout : process.stderr;
  if (stream.listenerCount('error') === 0) stream.on('error', () => {});
  if (!stream.isTTY) return fd;
  // A terminal stays blocking, because other programs share it: open it a second time.
  const path = process.platform === 'linux' ? `/proc/self/fd/${fd}` : '/dev/tty';
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return fd;
  }
}
