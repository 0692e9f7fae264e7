// Run by npm after an installation: gives the pinned Node the same path on all platforms, node_modules/node/bin/node. Scripts and
// supervisors may use it; the service does not.
import { linkSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findPinnedNode } from './pinned-node.js';

const node = findPinnedNode();
if (node !== null) {
  const folder = fileURLToPath(new URL('../../node_modules/node/bin', import.meta.url));
  const path = join(folder, basename(node));
  mkdirSync(folder, { recursive: true });
  rmSync(path, { force: true });
  linkSync(node, path);
}
