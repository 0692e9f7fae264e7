// The package as operators get it: built, packed, installed elsewhere, and run. It has JavaScript, because Node strips no types
// under node_modules.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { z } from 'zod';
import { VERSION } from '../../src/version.ts';
import { createDatabase } from '../support/database.ts';
import { makeFolder, request, startProgram, startService } from '../support/service.ts';

const ROOT = dirname(dirname(import.meta.dirname));
const TIMEOUT_MS = 120_000;
const run = promisify(execFile);
const dependencies = z.record(z.string(), z.string());
const manifestSchema = z.object({
  private: z.boolean().default(false),
  scripts: dependencies.default({}),
  dependencies,
  devDependencies: dependencies.default({}),
  optionalDependencies: dependencies,
});
const packedSchema = z.array(z.object({ filename: z.string(), files: z.array(z.object({ path: z.string() })) }));

let tarball: string;
let packed: string[];
let manifest: z.output<typeof manifestSchema>;

before(
  async (scope) => {
    const folder = await makeFolder(scope);
    await run(process.execPath, [join(ROOT, '.ci/build.js'), join(folder, 'dist')]);
    const { stdout } = await run('npm', ['pack', '--json', '--offline', '--pack-destination', folder], {
      cwd: join(folder, 'dist'),
    });
    const [pack] = packedSchema.parse(JSON.parse(stdout));
    assert.ok(pack);
    tarball = join(folder, pack.filename);
    packed = pack.files.map(({ path }) => path);
    manifest = manifestSchema.parse(JSON.parse(await readFile(join(folder, 'dist/package.json'), 'utf8')));
  },
  { timeout: TIMEOUT_MS },
);

/** Installs the package in an empty folder, with the packages that it names and no others. */
async function install(t: TestContext, { optional = true } = {}): Promise<string> {
  const folder = await makeFolder(t);
  const modules = join(folder, 'node_modules');
  const installed = join(modules, 'gopherpay');
  await mkdir(installed, { recursive: true });
  await run('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  const names = Object.keys({ ...manifest.dependencies, ...(optional ? manifest.optionalDependencies : {}) });
  for (const name of names) {
    const source = join(ROOT, 'node_modules', name);
    if (!existsSync(source)) continue;
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(source, join(modules, name));
  }
  return join(installed, 'src/cli/main.js');
}

test('package: it has the compiled code, the console, migrations and documents, and nothing else', () => {
  const sources = globSync('src/**/*.{ts,js}', { cwd: ROOT, exclude: ['src/console/**'] });
  const expected = [
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'package.json',
    'src/domain/currency.ts',
    ...globSync('{migrations,deploy,src/console}/**/*.*', { cwd: ROOT, exclude: ['**/tsconfig.json'] }),
    ...sources.map((path) => path.replace(/\.ts$/, '.js')),
  ];
  assert.deepEqual(packed.toSorted(), expected.toSorted());
});

test('package: the one with sources cannot be published, and the built one has only what it needs', () => {
  const sources = manifestSchema.parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')));
  assert.equal(sources.private, true);
  assert.deepEqual(manifest, { ...sources, private: false, scripts: {}, devDependencies: {} });
});

test(
  'package: it serves with a PostgreSQL of its own, threads, reports and an audit',
  { timeout: TIMEOUT_MS },
  async (t) => {
    const main = await install(t);
    const folder = await makeFolder(t);
    const service = await startService(t, { main, folder });
    const accounts = ['ANN', 'BOB'].map((account_number) => ({ account_number, name: 'A', balance: 1000 }));
    assert.equal((await request(service, 'POST', '/accounts', { accounts })).status, 201);
    const transfer = { from_account: 'ANN', to_account: 'BOB', amount: 10 };
    const { body } = await request(service, 'POST', '/transfers', transfer, { prefer: 'wait=10' });
    assert.equal(body['status'], 'completed');
    for (const args of [
      ['report', '--account=ANN'],
      ['statement', '--account=ANN', '--month=2026-01', '--output=-'],
      ['audit'],
    ]) {
      const program = await startProgram(t, { main, folder, args });
      assert.equal((await program.exited).code, 0, `${args[0]}: ${program.output()}`);
    }
    assert.match(await readFile(join(folder, 'reports/ANN.csv'), 'utf8'), /,ANN,BOB,10,/);
    assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
  },
);

test('package: it serves the console with all its files', { timeout: TIMEOUT_MS }, async (t) => {
  const service = await startService(t, { main: await install(t), database: await createDatabase(t) });
  const page = await request(service, 'GET', '/', undefined, { accept: 'text/html' });
  assert.equal(page.status, 200, page.text);
  const paths = new Set([...page.text.matchAll(/"(?:\.\/)?(assets\/[^"]+\.\w+)"/g)].map(([, path = '']) => path));
  assert.ok(paths.size > 10, page.text);
  for (const path of paths) {
    const { status } = await request(service, 'GET', `/${path}`);
    if (!path.endsWith('.ts')) assert.equal(status, 200, path);
  }
});

test('package: npx runs it, and completion calls it', { timeout: TIMEOUT_MS }, async (t) => {
  const main = await install(t);
  const modules = join(dirname(main), '../../..');
  // As npm links it.
  await mkdir(join(modules, '.bin'));
  await symlink('../gopherpay/src/cli/main.js', join(modules, '.bin/gopherpay'));
  await run('chmod', ['+x', main]);
  const npx = async (...args: string[]) =>
    (await run('npx', ['--offline', 'gopherpay', ...args], { cwd: dirname(modules) })).stdout;
  assert.equal(await npx('--version'), `${VERSION}\n`);
  assert.match(await npx('complete', 'bash'), /node_modules\/\.bin\/gopherpay/);
  assert.match(await npx('complete', '--', 'tra'), /^transfers\t/);
});

test(
  'package: without optional packages it says what to do, and serves with a database',
  { timeout: TIMEOUT_MS },
  async (t) => {
    const main = await install(t, { optional: false });
    const program = await startProgram(t, { main, args: ['serve'] });
    assert.deepEqual(await program.exited, { code: 1, signal: null });
    assert.match(
      program.output(),
      /^No setting names a database, and the embedded PostgreSQL \(.*\) is not installed: set DATABASE_URL to .*\.$/m,
    );
    const service = await startService(t, { main, database: await createDatabase(t) });
    assert.equal((await request(service, 'GET', '/readyz')).status, 200);
  },
);

// The oldest Node that may run npm; a machine without one cannot try it.
const older = ['/usr/bin/node', '/usr/local/bin/node'].find(
  (path) => existsSync(path) && Number.parseInt(spawnSync(path, ['--version']).stdout.toString().slice(1), 10) < 26,
);

test('package: an older Node hands the command to the pinned one', { skip: older === undefined }, async (t) => {
  const { stdout, status } = spawnSync(older ?? '', [await install(t), '--version']);
  assert.deepEqual([stdout.toString(), status], [`${VERSION}\n`, 0]);
});
