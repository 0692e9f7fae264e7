// Runs docs/RECIPES.md: the blocks of each language as one program, in their order, against a service that has just
// started. What a program prints is what its comments say, and each recipe has all languages, which print the same.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeProgramFolder, ROOT, run, runTool } from './support/contract-tools.ts';
import { createDatabase, type TestDatabase } from './support/database.ts';
import { makeKey } from './support/keys.ts';
import { checkPromises } from './support/promises/check.ts';
import { type Service, startService } from './support/service.ts';

const TIMEOUT_MS = 180_000;
const PAGE = readFileSync(join(ROOT, 'docs/RECIPES.md'), 'utf8');
const CLIENT = join(ROOT, 'clients/typescript/src/index.ts');
/** CI names a Python, and then the test may not be skipped. */
const NAMED_PYTHON = process.env['CONTRACT_PYTHON'];
const PYTHON = NAMED_PYTHON ?? 'python3';

const LANGUAGES = ['sh', 'ts', 'python'] as const;
type Language = (typeof LANGUAGES)[number];

/** The blocks of a language in a part of the page. */
function blocksOf(language: Language, part = PAGE): string {
  const blocks = part.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'));
  return [...blocks].map(([, block = '']) => block).join('\n');
}

/** What the comments of a program say that it prints. */
function printedBy(program: string): string[] {
  return [...program.matchAll(/(?:#|\/\/) => (.*)$/gm)].map(([, text = '']) => text);
}

test('recipes: each has all languages, which print the same', () => {
  const [, ...recipes] = PAGE.split(/^## /m);
  assert.ok(recipes.length > 10);
  for (const recipe of recipes) {
    const [name = ''] = recipe.split('\n');
    const printed = LANGUAGES.map((language) => {
      const program = blocksOf(language, recipe);
      assert.ok(program !== '', `${name} has no ${language}`);
      return printedBy(program);
    });
    assert.ok(name === 'Set up' || printed[0]?.length !== 0, `${name} prints nothing`);
    for (const each of printed) assert.deepEqual(each, printed[0], name);
  }
});

test('recipes: the shell', { timeout: TIMEOUT_MS }, async (t) => {
  const { folder, settings, check } = await prepare(t);
  const npx = `npx() { shift; node '${join(ROOT, 'src/cli/main.js')}' "$@"; }`;
  const program = blocksOf('sh');
  await writeFile(join(folder, 'recipes.sh'), `set -eu\n${npx}\n${program}`);
  await check(await run('sh', ['recipes.sh'], folder, settings), program);
});

test('recipes: TypeScript', { timeout: TIMEOUT_MS }, async (t) => {
  const { folder, settings, check } = await prepare(t);
  const program = blocksOf('ts');
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await writeFile(join(folder, 'recipes.ts'), program.replace("'@gopherpay/client'", JSON.stringify(CLIENT)));
  const compilerOptions = {
    target: 'esnext',
    module: 'nodenext',
    lib: ['esnext', 'dom'],
    types: ['node'],
    noEmit: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    erasableSyntaxOnly: true,
    allowImportingTsExtensions: true,
  };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['recipes.ts'] }));
  await runTool('tsc', ['-p', folder], folder);
  await check(await run(process.execPath, ['recipes.ts'], folder, settings), program);
});

test('recipes: Python', { timeout: TIMEOUT_MS }, async (t) => {
  if (NAMED_PYTHON === undefined && !(await isInstalled(PYTHON))) {
    // Python is no requirement of the project. Where CONTRACT_PYTHON names one, as in CI, it may not be missing.
    t.skip(`there is no ${PYTHON}`);
    return;
  }
  const { folder, settings, check } = await prepare(t);
  const program = blocksOf('python');
  await writeFile(join(folder, 'recipes.py'), program);
  await check(await run(PYTHON, ['recipes.py'], folder, settings), program);
});

/** A service with keys, a folder, and the settings of a program that uses it. `check` looks at what it printed. */
async function prepare(t: TestContext) {
  const database = await createDatabase(t);
  const [key, batchKey] = [await makeKey(database), await makeKey(database, { limits: { requestsPerSecond: 1 } })];
  const service = await startService(t, { database, env: { WEBHOOK_TARGETS: 'any', THREADS: '2' } });
  const settings = {
    GOPHERPAY_URL: service.url,
    GOPHERPAY_KEY: key.text,
    GOPHERPAY_BATCH_KEY: batchKey.text,
    DATABASE_URL: database.url,
  };
  const folder = await makeProgramFolder(t);
  return {
    folder,
    settings,
    check: async (printed: string, program: string) => await checkRun(database, service, printed, program),
  };
}

async function checkRun(database: TestDatabase, service: Service, printed: string, program: string): Promise<void> {
  assert.deepEqual(printed.trimEnd().split('\n'), printedBy(program));
  await checkPromises(database, { nothingPending: true });
  await service.stop();
  assert.ok(
    service.logs().some(({ status }) => status === 429),
    'The batch was slowed down.',
  );
}

async function isInstalled(program: string): Promise<boolean> {
  return await run(program, ['--version']).then(
    () => true,
    () => false,
  );
}
