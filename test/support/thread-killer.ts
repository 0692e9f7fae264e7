// Loaded into a service before its own code (node --import): on SIGALRM it ends one of the service's threads at once,
// in the middle of its work. No other process can end a single thread.
import { isMainThread, type Worker } from 'node:worker_threads';

// The threads load this too, and do nothing.
if (isMainThread) {
  const threads: Worker[] = [];
  let owed = 0;
  // The longest running first, so that each gets its turn; the next one that is made, if none is there.
  const kill = (): void => {
    const thread = threads.shift();
    if (!thread) owed += 1;
    else void thread.terminate().then(() => process.stdout.write('a thread was killed\n'));
  };
  process.on('worker', (thread) => {
    threads.push(thread);
    if (owed === 0) return;
    owed -= 1;
    kill();
  });
  process.on('SIGALRM', kill);
}
