// The client can send every operation of the OpenAPI document, and imports nothing that a browser lacks.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';

const ROOT = join(import.meta.dirname, '../..');
const SOURCES = globSync('clients/typescript/src/*.ts', { cwd: ROOT, exclude: ['**/schema.ts'] }).map((path) =>
  readFileSync(join(ROOT, path), 'utf8'),
);
/** For probes and monitors, which are no programs that use the books. */
const OF_OPERATORS = [
  'GET /access',
  'GET /activity',
  'GET /healthz',
  'GET /metrics',
  'GET /openapi.json',
  'GET /readyz',
];

test('client: every operation has a method, except those of operators', () => {
  const { paths } = z
    .object({ paths: z.record(z.string(), z.record(z.string(), z.unknown())) })
    .parse(JSON.parse(readFileSync(join(ROOT, 'docs/openapi.json'), 'utf8')));
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const sent = SOURCES.flatMap((text) =>
    [...text.matchAll(/\.(GET|POST|PATCH|PUT|DELETE)\(\s*'([^']+)'/g)].map(([, method, path]) => `${method} ${path}`),
  );
  const missing = operations.filter((operation) => !sent.includes(operation));
  assert.deepEqual(missing.toSorted(), OF_OPERATORS, 'Give each a method in clients/typescript/src.');
});

test('client: it imports its own files and two packages, and nothing of Node', () => {
  const imported = SOURCES.flatMap((text) =>
    [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g)].map(([, name = '']) => name),
  );
  const packages = imported.filter((name) => !name.startsWith('./'));
  assert.deepEqual([...new Set(packages)].toSorted(), ['eventsource-parser', 'openapi-fetch']);
});
