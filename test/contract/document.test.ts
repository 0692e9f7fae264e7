// The OpenAPI document: it is the one of this code, linters accept it, and clients survive what is added later.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { findBreakingChanges } from '../support/breaking-changes.ts';
import { DOCUMENT_FILE, runTool } from '../support/contract-tools.ts';
import { createDatabase } from '../support/database.ts';
import { readOpenApiDocument, renderOpenApiDocument, renderReferencePage } from '../support/openapi-document.ts';
import { readReference } from '../support/reference-page.ts';
import { request, startService } from '../support/service.ts';

const { paths, components } = z
  .object({
    paths: z.record(z.string(), z.record(z.string(), z.looseObject({ responses: z.looseObject({}) }))),
    components: z.object({ schemas: z.record(z.string(), z.looseObject({})) }),
  })
  .parse(JSON.parse(readOpenApiDocument()));

test('openapi: docs/openapi.json is the document of this code', () => {
  const [committed, current] = [readOpenApiDocument(), renderOpenApiDocument()];
  const changes = findBreakingChanges(JSON.parse(committed), JSON.parse(current));
  assert.deepEqual(changes, [], 'These changes break clients. If they are meant: npm run openapi -- --breaking');
  assert.ok(committed === current, 'docs/openapi.json is not current: npm run openapi');
});

test('openapi: docs/REFERENCE.md is the reference of this code', () => {
  assert.ok(readReference() === renderReferencePage(), 'docs/REFERENCE.md is not current: npm run openapi');
});

test('openapi: the service serves docs/openapi.json', async (t) => {
  const service = await startService(t, { database: await createDatabase(t), env: { THREADS: '1' } });
  const answer = await request(service, 'GET', '/openapi.json');
  assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'application/json']);
  assert.deepEqual(answer.body, JSON.parse(readOpenApiDocument()));
});

test('openapi: redocly finds no error and no warning', async () => {
  const report = await runTool('redocly', ['lint', DOCUMENT_FILE, '--extends=recommended', '--format=json']);
  const { totals } = z.looseObject({ totals: z.looseObject({}) }).parse(JSON.parse(report));
  assert.deepEqual({ ...totals, ignored: 0 }, { errors: 0, warnings: 0, ignored: 0 }, report);
});

test('openapi: spectral finds no error, no warning and no hint', async () => {
  const ruleset = join(import.meta.dirname, 'spectral.yaml');
  const report = await runTool('spectral', ['lint', DOCUMENT_FILE, '--ruleset', ruleset, '--format=json', '--quiet']);
  assert.deepEqual(JSON.parse(report), []);
});

test('openapi: every component is used, and every reference means one', () => {
  const references = readOpenApiDocument().matchAll(/"#\/components\/schemas\/(\w+)"/g);
  const used = new Set([...references].map(([, name = '']) => name));
  assert.deepEqual([...used].toSorted(), Object.keys(components.schemas).toSorted());
});

test('openapi: answers may grow, and bodies have names and are closed', () => {
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { responses, requestBody }] of Object.entries(methods)) {
      const grown = namesIn(responses, Infinity);
      assert.deepEqual(grown.filter(isClosed), [], `answers of ${method} ${path}`);
      if (requestBody === undefined) continue;
      const bodies = namesIn(requestBody, 1);
      assert.ok(bodies.length > 0, `the body of ${method} ${path} has no name`);
      assert.deepEqual(bodies.filter(isClosed), bodies, `bodies of ${method} ${path}`);
    }
  }
});

function isClosed(name: string): boolean {
  return components.schemas[name]?.['additionalProperties'] === false;
}

/** The components that a part of the document refers to, and those that these refer to, up to a depth. */
function namesIn(part: unknown, depth: number, known = new Set<string>()): string[] {
  for (const [, name = ''] of JSON.stringify(part ?? null).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
    if (known.has(name)) continue;
    known.add(name);
    if (depth > 1) namesIn(components.schemas[name], depth - 1, known);
  }
  return [...known];
}
