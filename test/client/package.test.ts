// The package as programs get it: built, packed, installed, type-checked by strict consumers, and run. The examples of
// its README are the program.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import { z } from 'zod';
import { createDatabase } from '../support/database.ts';
import { makeFolder, startService } from '../support/service.ts';

const ROOT = dirname(dirname(import.meta.dirname));
const CLIENT = join(ROOT, 'clients/typescript');
const ADDRESS = 'http://127.0.0.1:8080';
const TIMEOUT_MS = 120_000;
const run = promisify(execFile);
/** npm must not look for a newer npm. */
const env = {
  ...process.env,
  PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env['PATH']}`,
  npm_config_update_notifier: 'false',
  npm_config_offline: 'true',
};

/** Has the installed package and the program `readme.ts`. */
let consumer: string;
let packed: string[];

before(
  async (scope) => {
    const folder = await makeFolder(scope);
    const sources = join(folder, 'sources');
    consumer = join(folder, 'consumer');
    const installed = join(consumer, 'node_modules/@gopherpay/client');
    await mkdir(installed, { recursive: true });
    // The packages that the client needs are those of the project.
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    for (const name of ['package.json', 'tsconfig.json', 'README.md', 'LICENSE', 'src']) {
      await cp(join(CLIENT, name), join(sources, name), { recursive: true });
    }
    await run('npm', ['run', 'build'], { cwd: sources, env });
    const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts'], { cwd: sources, env });
    const [tarball] = z
      .array(z.object({ filename: z.string(), files: z.array(z.object({ path: z.string() })) }))
      .parse(JSON.parse(stdout));
    assert.ok(tarball);
    packed = tarball.files.map(({ path }) => path);
    await run('tar', ['-xzf', join(sources, tarball.filename), '-C', installed, '--strip-components=1']);
    await writeFile(join(consumer, 'package.json'), '{"type":"module"}');
    await writeFile(join(consumer, 'readme.ts'), await readProgram());
  },
  { timeout: TIMEOUT_MS },
);

/** The ts blocks of the README, in their order. */
async function readProgram(): Promise<string> {
  const readme = await readFile(join(CLIENT, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, block = '']) => block);
  return blocks.join('\n');
}

/** What the comments of a program say that it prints. */
function printedBy(program: string): string[] {
  return [...program.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, output = '']) => output);
}

test('client package: it has the compiled code with its types, README and license, and nothing else', () => {
  const modules = packed.filter((path) => path.startsWith('dist/'));
  assert.deepEqual(
    packed.filter((path) => !modules.includes(path)),
    ['LICENSE', 'README.md', 'package.json'],
  );
  const names = modules.map((path) => path.replace(/(\.d\.ts|\.js)$/, ''));
  assert.deepEqual(
    modules.toSorted(),
    [...new Set(names)].flatMap((name) => [`${name}.d.ts`, `${name}.js`]).toSorted(),
  );
  assert.ok(names.includes('dist/index'));
});

const BROWSER = { lib: ['es2022', 'dom', 'dom.asynciterable', 'esnext.disposable'], types: [] };

for (const [where, compilerOptions] of Object.entries({
  'a browser': { ...BROWSER, module: 'nodenext' },
  Node: { lib: ['esnext'], types: ['node'], module: 'nodenext' },
  'a bundler': { ...BROWSER, module: 'esnext', moduleResolution: 'bundler' },
})) {
  test(`client package: a strict program for ${where} compiles`, { timeout: TIMEOUT_MS }, async () => {
    const strict = {
      ...compilerOptions,
      target: 'es2022',
      noEmit: true,
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
    };
    const config = join(consumer, `tsconfig.${where.replace(' ', '-')}.json`);
    await writeFile(config, JSON.stringify({ compilerOptions: strict, files: ['readme.ts'] }));
    await run('tsc', ['-p', config], { cwd: consumer, env }).catch(({ message, stdout }) => {
      assert.fail(`${message}${stdout}`);
    });
  });
}

test('client package: every example of its README works as described', { timeout: TIMEOUT_MS }, async (t) => {
  const service = await startService(t, { database: await createDatabase(t) });
  const program = await readFile(join(consumer, 'readme.ts'), 'utf8');
  const expected = printedBy(program);
  assert.ok(expected.length > 5);
  await writeFile(join(consumer, 'run.ts'), program.replaceAll(ADDRESS, service.url));
  const { stdout } = await run(process.execPath, ['run.ts'], { cwd: consumer, timeout: TIMEOUT_MS });
  assert.deepEqual(stdout.trimEnd().split('\n'), expected);
});

test(
  'client package: its examples run as JavaScript on the Node of the machine',
  { timeout: TIMEOUT_MS },
  async (t) => {
    const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => !folder.includes('node_modules'));
    const node = folders.map((folder) => join(folder, 'node')).find((path) => existsSync(path));
    if (node === undefined) {
      // The project brings its own Node, so a machine may have no other.
      t.skip('there is no other Node');
      return;
    }
    t.diagnostic((await run(node, ['--version'])).stdout.trim());
    const service = await startService(t, { database: await createDatabase(t) });
    const program = stripTypeScriptTypes(await readProgram()).replaceAll(ADDRESS, service.url);
    await writeFile(join(consumer, 'run.js'), program);
    const { stdout } = await run(node, ['run.js'], { cwd: consumer, timeout: TIMEOUT_MS });
    assert.deepEqual(stdout.trimEnd().split('\n'), printedBy(program));
  },
);

test('client package: its types are those of docs/openapi.json', async () => {
  const { scripts } = z
    .object({ scripts: z.record(z.string(), z.string()) })
    .parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')));
  const [, ...command] = scripts['client:types']?.split(' ') ?? [];
  await assert.doesNotReject(
    run(process.execPath, [...command, '--check'], { cwd: ROOT }),
    'Run npm run client:types, which writes clients/typescript/src/schema.ts.',
  );
});
