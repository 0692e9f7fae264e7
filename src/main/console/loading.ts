// Has a thread make the files of the console, when a browser asks for them first.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Assets } from './assets.ts';

/** Resolves with the files. Rejects if the thread fails. */
export async function loadInThread(): Promise<Assets> {
  // Stripping types is new in Node, which says so on standard error, where the service has its log.
  const execArgv = ['--disable-warning=ExperimentalWarning'];
  const thread = new Worker(new URL('./assets-thread.ts', import.meta.url), { execArgv });
  // The service need not wait for it when it stops.
  thread.unref();
  const [assets]: Assets[] = await once(thread, 'message');
  if (!assets) throw new Error('The thread made no files.');
  return assets;
}
