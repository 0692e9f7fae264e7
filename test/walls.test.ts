// Goal: lint refuses each import that would join what must stay apart. Method: a breach of each wall, planted in a copy of the tree's
// shape, is linted with the project's own rules.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { makeFolder } from './support/service.ts';

const ROOT = dirname(import.meta.dirname);

const BREACHES = [
  { file: 'src/db/audit.ts', imports: '../../test/support/promises/rule.ts' },
  { file: 'src/main/server.ts', imports: '../../bench/seed.ts' },
  { file: 'test/support/promises/money.ts', imports: '../../../src/db/audit-money.ts' },
  { file: 'test/support/promises/check.ts', imports: '../database.ts' },
  { file: 'bench/main.ts', imports: '../test/support/until.ts' },
  { file: 'test/main/pages.test.ts', imports: '../chaos/run.ts' },
];

const ALLOWED = [
  { file: 'test/support/promises/money.ts', imports: './rule.ts' },
  { file: 'test/main/pages.test.ts', imports: '../support/until.ts' },
  { file: 'test/main/pages.test.ts', imports: '../../src/db/connect.ts' },
  { file: 'test/bench.test.ts', imports: '../bench/seed.ts' },
];

let folder: string;

before(async (scope) => {
  folder = await makeFolder(scope);
  await copyFile(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
});

/** What lint says of a file with this import alone. */
async function lint({ file, imports }: { file: string; imports: string }): Promise<string> {
  await mkdir(dirname(join(folder, file)), { recursive: true });
  await writeFile(join(folder, file), `export * from '${imports}';\n`);
  const oxlint = join(ROOT, 'node_modules/.bin/oxlint');
  return await new Promise((resolve) => {
    execFile(process.execPath, [oxlint, file], { cwd: folder }, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

for (const breach of BREACHES) {
  test(`walls: ${breach.file} must not import ${breach.imports}`, async () => {
    assert.match(await lint(breach), /no-restricted-imports/);
  });
}

for (const use of ALLOWED) {
  test(`walls: ${use.file} may import ${use.imports}`, async () => {
    assert.doesNotMatch(await lint(use), /no-restricted-imports|Failed/);
  });
}
