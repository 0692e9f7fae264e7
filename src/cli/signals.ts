// Which signals stop a command, and what SIGHUP means.
import { isatty } from 'node:tty';

/** npm forwards a SIGINT that the terminal also sends to this process: within this time, two signals count as one. */
const REPEAT_MS = 1000;

/**
 * Calls `stop` at the first SIGINT, SIGTERM or SIGHUP, and exits at once at the next. SIGHUP is ignored without a terminal, as nohup
 * requires. Node resets inherited signal handling at its start, so nohup cannot be detected. `hangUp`: what SIGHUP does instead, in a
 * service with files to read again. Returns a function that removes the listeners.
 */
export function onStopSignal(stop: (signal: NodeJS.Signals) => void, hangUp: (() => void) | null = null): () => void {
  let stoppedAt: number | null = null;
  const interrupt = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGHUP' && hangUp !== null) {
      hangUp();
      return;
    }
    if (signal === 'SIGHUP' && ![0, 1, 2].some((descriptor) => isatty(descriptor))) return;
    if (stoppedAt === null) {
      stoppedAt = performance.now();
      stop(signal);
    } else if (performance.now() - stoppedAt > REPEAT_MS) process.exit(1);
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, interrupt);
  return () => {
    for (const name of names) process.off(name, interrupt);
  };
}
