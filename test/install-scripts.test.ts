// The scripts that run at an installation are the ones that docs/SECURITY.md explains and package.json decides on.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';

const ROOT = dirname(import.meta.dirname);
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
/** Those that npm runs when the project is installed. */
const INSTALL_SCRIPTS = /^(preinstall|install|postinstall|prepublish|preprepare|prepare|postprepare)$/;

const { packages } = z
  .object({ packages: z.record(z.string(), z.object({ hasInstallScript: z.boolean().default(false) })) })
  .parse(JSON.parse(read('package-lock.json')));
const { allowScripts, scripts } = z
  .object({ allowScripts: z.record(z.string(), z.boolean()), scripts: z.record(z.string(), z.string()) })
  .parse(JSON.parse(read('package.json')));

/** The packages with install scripts, and whether these run, as the document says. */
function explained(): Record<string, boolean> {
  const [, section = ''] = /^## Install scripts\n(.*?)(?=^## |(?![^]))/ms.exec(read('docs/SECURITY.md')) ?? [];
  const rows = [...section.matchAll(/^\| (`[^|]+) \| (yes|no) \|/gm)];
  return Object.fromEntries(
    rows.flatMap(([, names = '', runs]) =>
      [...names.matchAll(/`([^`]+)`/g)].map(([, name = '']) => [name, runs === 'yes']),
    ),
  );
}

test('install scripts: each one in the lock file is decided on in package.json, and explained', () => {
  const found = Object.entries(packages)
    .filter(([path, { hasInstallScript }]) => path !== '' && hasInstallScript)
    .map(([path]) => path.replace(/^.*node_modules\//, ''));
  assert.deepEqual(Object.keys(allowScripts).toSorted(), found.toSorted());
  assert.deepEqual(explained(), allowScripts);
});

test('install scripts: the project itself has none, or npx would refuse to run its command', () => {
  assert.deepEqual(
    Object.keys(scripts).filter((name) => INSTALL_SCRIPTS.test(name)),
    [],
  );
});

test('install scripts: npm refuses one that is not decided on', () => {
  assert.match(read('.npmrc'), /^strict-allow-scripts=true$/m);
});
