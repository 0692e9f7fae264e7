// The manifest and the lock file without what only development needs: what is published, and what the software bill of materials lists.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const ROOT = dirname(import.meta.dirname);

export function readProduction() {
  const read = (name) => JSON.parse(readFileSync(join(ROOT, name), 'utf8'));
  const manifest = read('package.json');
  const lock = read('package-lock.json');
  delete manifest.devDependencies;
  delete lock.packages[''].devDependencies;
  // The workspaces are the client, which is a package of its own, and tools of the tests.
  delete manifest.workspaces;
  delete lock.packages[''].workspaces;
  for (const [path, { dev, devOptional, link }] of Object.entries(lock.packages)) {
    if (dev || devOptional || link || !/^(node_modules\/|$)/.test(path)) delete lock.packages[path];
  }
  return { manifest, lock };
}
