// The files, scripts and suites that the documents name exist. Each message names the document, the line and what to
// do.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';

const ROOT = dirname(import.meta.dirname);
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const find = (...patterns: string[]): string[] =>
  globSync(patterns, { cwd: ROOT, exclude: ['**/node_modules/**'] }).toSorted();

/** A changelog names former files. */
const DOCUMENTS = find('*.md', '{bench,clients,docs,reports,test}/**/*.md').filter((path) => path !== 'CHANGELOG.md');
const FILES = find('*', '.*', '{.ci,.github,bench,clients,deploy,docs,migrations,reports,src,test}/**').map(
  (path) => `/${path}`,
);
const TESTS = find('test/**/*.test.ts');
const { scripts } = z.object({ scripts: z.record(z.string(), z.string()) }).parse(JSON.parse(read('package.json')));

/** It needs no process, but measures memory for several seconds. */
const SLOW = ['test/main/body-memory.test.ts'];

test('documents: every named file and folder exists', () => {
  assertNone(
    findAll(/`([\w./-]+\.(?:ts|js|sql|md|ya?ml)|(?:src|test|bench|clients|docs|migrations)\/[\w./-]*)`/g)
      .filter(({ found }) => !FILES.some((path) => path.endsWith(`/${found.replace(/^\.\//, '').replace(/\/$/, '')}`)))
      .map(({ where, found }) => `${where} names ${found}: correct it, there is no such file.`),
  );
});

test('documents: every named script exists', () => {
  assertNone(
    findAll(/\bnpm run ([\w:-]+)/g)
      .filter(({ found }) => !(found in scripts))
      .map(({ where, found }) => `${where} names npm run ${found}: correct it, package.json has no such script.`),
  );
});

test('documents: test/README.md has a row for each suite', () => {
  const suites = new Set(TESTS.map((path) => (path.split('/').length > 2 ? `${dirname(path)}/` : 'test/*.test.ts')));
  const rows = [...read('test/README.md').matchAll(/^\| `([^`]+)` \|/gm)].map(([, suite = '']) => suite);
  assert.deepEqual(rows.toSorted(), [...suites].toSorted());
});

test('suites: test:unit has every test that starts no process, and no other', () => {
  const patterns = [...(scripts['test:unit'] ?? '').matchAll(/"([^"]+)"/g)].map(([, pattern = '']) => pattern);
  const unit = find(...patterns);
  assertNone([
    ...unit
      .filter((path) => startsProcesses(path))
      .map((path) => `${path} starts a process or needs a database: take it out of test:unit in package.json.`),
    ...TESTS.filter((path) => !unit.includes(path) && !SLOW.includes(path) && !startsProcesses(path)).map(
      (path) => `${path} needs no database: add it to test:unit in package.json.`,
    ),
  ]);
});

test('suites: test:integration and test:faults together have every test once', () => {
  const parts = ['test:integration', 'test:faults'].flatMap((name) =>
    find(...[...(scripts[name] ?? '').matchAll(/"([^"]+)"/g)].map(([, pattern = '']) => pattern)),
  );
  assert.deepEqual(parts.toSorted(), TESTS);
});

function findAll(pattern: RegExp): { where: string; found: string }[] {
  return DOCUMENTS.flatMap((path) => {
    const text = read(path);
    return [...text.matchAll(pattern)].map(({ 1: found = '', index }) => ({
      where: `${path}:${text.slice(0, index).split('\n').length}`,
      found,
    }));
  });
}

/** Whether a file, or one that it imports, imports node:child_process. The test server does. */
function startsProcesses(path: string, seen = new Set<string>()): boolean {
  if (seen.has(path)) return false;
  seen.add(path);
  const imports = [...read(path).matchAll(/^(?:import|export)\b(?! type\b)[^;]*?from '([^']+)'/gm)].map(
    ([, target = '']) => target,
  );
  return imports.some((target) =>
    target.startsWith('.')
      ? startsProcesses(normalize(join(dirname(path), target)), seen)
      : target === 'node:child_process',
  );
}

function assertNone(found: readonly string[]): void {
  assert.ok(found.length === 0, `\n${found.join('\n')}`);
}
