#!/usr/bin/env node
// The file that npm starts: the command line, with the code that Node compiled the last time, including the packages of main.ts. This
// file is not TypeScript: it comes before the cache, Node's type stripper alone takes 28 ms to load, and it must run on an older Node.
import { spawn } from 'node:child_process';
// Not by name: an older Node has no enableCompileCache, and would end in a SyntaxError.
import module from 'node:module';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { findPinnedNode } from './pinned-node.js';

const NODE_MIN = 26;

if (Number.parseInt(process.versions.node, 10) >= NODE_MIN) await run();
else runOnPinnedNode();

async function run() {
  // Before the cache, which is separate for each set of flags. docs/ARCHITECTURE.md has the reason and the measurements.
  setFlagsFromString('--no-allocation-site-pretenuring');
  const { directory } = module.enableCompileCache(
    fileURLToPath(new URL('../../node_modules/.cache/gopherpay', import.meta.url)),
  );
  // Threads do not inherit it otherwise: stripping the types in each of them would cost the service a hundred megabytes. Where
  // the cache cannot be written, everything works without it.
  if (directory !== undefined) process.env['NODE_COMPILE_CACHE'] = directory;
  // pg reads it while it is loaded, and would look for a package that is not there.
  delete process.env['NODE_PG_FORCE_NATIVE'];
  await import('./main.ts');
}

/** Runs the same command on the Node that was installed with the packages, and ends with its exit code. */
function runOnPinnedNode() {
  const node = findPinnedNode();
  if (node === null) {
    process.stderr.write(
      `GopherPay needs Node ${NODE_MIN}, and this is ${process.version}: run "npm install" without --omit=optional, or install Node ${NODE_MIN}.\n`,
    );
    process.exitCode = 1;
    return;
  }
  const args = [...process.execArgv, ...process.argv.slice(1)];
  if (process.execve) process.execve(node, [node, ...args], process.env);
  const child = spawn(node, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.once('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}
