// Loaded into a service before its own code (node --import): on SIGALRM it ends one of the service's threads at once, in the
// middle of whatever that thread does. Nothing outside a process can do that to a thread.
import { isMainThread, type Worker } from 'node:worker_threads';

// The threads load this too, and do nothing.
if (isMainThread) {
  const threads: Worker[] = [];
  process.on('worker', (thread) => threads.push(thread));
  // The longest running first, so that each gets its turn.
  process.on('SIGALRM', () => {
    void threads
      .shift()
      ?.terminate()
      .then(() => process.stdout.write('a thread was killed\n'));
  });
}
