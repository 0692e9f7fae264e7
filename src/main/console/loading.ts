// Has a thread make the files of the console, when a browser asks for them first.
import { Worker } from 'node:worker_threads';
import type { Assets } from './assets.ts';

/** Resolves with the files. Rejects if the thread fails. */
export async function loadInThread(): Promise<Assets> {
  // Stripping types is new in Node, which says so on standard error, where the service has its log.
  const execArgv = ['--disable-warning=ExperimentalWarning'];
  const thread = new Worker(new URL('./assets-thread.ts', import.meta.url), { execArgv });
  // The service need not wait for it when it stops.
  thread.unref();
  return await new Promise((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('error', reject);
    thread.once('exit', () => reject(new Error('The thread that makes the files of the console ended without them.')));
  });
}
