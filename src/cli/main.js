#!/usr/bin/env node
// The file that npm starts: runs the command line with Node's compile cache, which covers the packages of command-line.ts too.
// This file is JavaScript, because it runs before the cache is on, Node's type stripper alone takes 28 ms to load, and an older
// Node must run it.
// Not by name: an older Node has no enableCompileCache, and would end in a SyntaxError.
import module from 'node:module';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { isNodeRecent, runOnNode } from './pinned-node.js';

if (isNodeRecent()) await run();
else runOnNode([...process.execArgv, ...process.argv.slice(1)]);

async function run() {
  // Before the cache, which is separate for each set of flags. docs/PERFORMANCE.md has the measurements.
  setFlagsFromString('--no-allocation-site-pretenuring');
  const { directory } = module.enableCompileCache(
    fileURLToPath(new URL('../../node_modules/.cache/gopherpay', import.meta.url)),
  );
  // Threads do not inherit it otherwise: stripping the types in each of them would cost the service a hundred megabytes. If
  // the cache cannot be written, everything works without it.
  if (directory !== undefined) process.env['NODE_COMPILE_CACHE'] = directory;
  // pg reads it while it is loaded, and would search for a package that is not installed.
  delete process.env['NODE_PG_FORCE_NATIVE'];
  await import('./command-line.ts');
}
