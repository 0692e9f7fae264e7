#!/usr/bin/env node
// What npm starts: the command line, with what Node compiled the last time, the packages that main.ts needs included. The one file
// that is not TypeScript: it comes before the cache, and Node's type stripper alone takes 28 ms to load.
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';

// Before the cache, which is kept apart by flags. What it is good for is in docs/ARCHITECTURE.md, with what was measured.
setFlagsFromString('--no-allocation-site-pretenuring');
const { directory } = enableCompileCache(
  fileURLToPath(new URL('../../node_modules/.cache/gopherpay', import.meta.url)),
);
// Threads do not inherit it otherwise: stripping the types in each of them would cost the service a hundred megabytes. Where nothing
// can be written, everything works without.
if (directory !== undefined) process.env['NODE_COMPILE_CACHE'] = directory;
await import('./main.ts');
