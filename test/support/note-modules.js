// Writes the URL of each module that a process or one of its threads loads to the file that NOTED_MODULES names.
import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { isMainThread } from 'node:worker_threads';

registerHooks({
  load(url, context, nextLoad) {
    appendFileSync(process.env['NOTED_MODULES'], `${isMainThread ? 'main' : 'thread'} ${url}\n`);
    return nextLoad(url, context);
  },
});
