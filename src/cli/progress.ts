// Progress on a terminal: a bar on standard error, which is gone at the end.
import { SingleBar } from 'cli-progress';

export type Progress = { readonly update: (done: number, total?: number) => void; readonly stop: () => void };

/** No bar if standard error is no terminal. `unit`: what is counted. */
export function startProgress(total: number, unit: string): Progress {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const bar = new SingleBar({
    format: `{bar} {percentage} % | {value} of {total} ${unit}`,
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
  });
  bar.start(total, 0);
  return {
    update: (done, total) => {
      if (total !== undefined) bar.setTotal(total);
      bar.update(done);
    },
    stop: () => bar.stop(),
  };
}
