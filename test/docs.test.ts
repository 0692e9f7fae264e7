// Runs every example of the documents unchanged: the sh blocks of a document in one shell, in their order, against a
// service that has just started. A json block after an sh block has the required content of its output.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { createDatabase } from './support/database.ts';
import { makeFolder, request, startService } from './support/service.ts';

const ROOT = dirname(import.meta.dirname);
const ADDRESS = 'http://127.0.0.1:8080';
const TIMEOUT_MS = 180_000;
const SEPARATOR = '----- next example -----';
const run = promisify(execFile);
/** Every route that an example was answered by without a problem, such as `GET /accounts/:account_number`. */
const called = new Set<string>();

type Example = { readonly script: string; readonly expected: unknown };

/** The documents whose examples run, each with a database and a service of its own. */
const DOCUMENTS = [
  'README.md',
  'docs/ACCESS.md',
  'docs/API.md',
  'docs/AUDIT.md',
  'docs/BOOKS.md',
  'docs/COMMANDS.md',
  'docs/LOAD.md',
  'docs/MOVEMENTS.md',
  'docs/OPERATIONS.md',
  'docs/READING.md',
  'docs/WEBHOOKS.md',
];
/** npx finds the command in the project's own folder; the examples run in an empty one. */
const NPX = `npx() { shift; node '${join(ROOT, 'src/cli/main.js')}' "$@"; }`;

for (const document of DOCUMENTS) {
  test(`docs: every example of ${document} works as described`, { timeout: TIMEOUT_MS }, async (t) => {
    const examples = findExamples(await readFile(join(ROOT, document), 'utf8'));
    assert.ok(examples.length > 0, `${document} has no examples.`);
    const outputs = await runExamples(t, examples);
    for (const [index, { script, expected }] of examples.entries()) {
      if (expected === undefined) continue;
      const output = outputs[index] ?? '';
      assertContains(JSON.parse(output), expected, `the output of\n${script}\n(it was ${output})`);
    }
  });
}

test('docs: every route has an example that runs', async (t) => {
  const service = await startService(t, { database: await createDatabase(t) });
  const { body } = await request<{ paths: Record<string, Record<string, unknown>> }>(service, 'GET', '/openapi.json');
  const routes = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
  );
  assert.deepEqual(
    routes.filter((route) => !called.has(route)),
    [],
  );
});

/** The sh blocks, each with the json block directly after it, if any. */
function findExamples(markdown: string): Example[] {
  const blocks = markdown.matchAll(/^```sh\n(.*?)^```\n(?:\s*^```json\n(.*?)^```$)?/gms);
  return [...blocks].map(([, script = '', json]) => ({
    script,
    expected: json === undefined ? undefined : JSON.parse(json),
  }));
}

async function runExamples(t: TestContext, examples: readonly Example[]): Promise<string[]> {
  const database = await createDatabase(t);
  const service = await startService(t, { database });
  const folder = await makeFolder(t);
  const script = [`set -euo pipefail\n${NPX}`, ...examples.map((example) => example.script)].join(
    `\necho '${SEPARATOR}'\n`,
  );
  const { stdout } = await run('bash', ['-c', script.replaceAll(ADDRESS, service.url)], {
    cwd: folder,
    timeout: TIMEOUT_MS,
    env: {
      ...process.env,
      DATABASE_URL: database.url,
      DATABASE_OWNER_URL: database.ownerUrl,
      GOPHERPAY_URL: service.url,
      PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env['PATH']}`,
    },
  });
  await service.stop();
  for (const { method, route, status } of service.logs()) {
    if (Number(status) < 400) called.add(`${String(method)} ${String(route)}`);
  }
  // The text before the first separator is the shell's own setting.
  return stdout.split(`${SEPARATOR}\n`).slice(1);
}

/** Asserts that `actual` has every member of `expected`; lists have the same length. */
function assertContains(actual: unknown, expected: unknown, what: string): void {
  if (typeof expected !== 'object' || expected === null) {
    assert.deepEqual(actual, expected, what);
    return;
  }
  assert.ok(typeof actual === 'object' && actual !== null, what);
  if (Array.isArray(expected)) assert.equal(Array.isArray(actual) ? actual.length : -1, expected.length, what);
  const fields = new Map(Object.entries(actual));
  for (const [name, value] of Object.entries(expected)) assertContains(fields.get(name), value, `${name} of ${what}`);
}
