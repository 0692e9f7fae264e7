// Problems, their advice, and the sections of docs/API.md: one for each route, with its statuses.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { FAILURE_CODES } from '../../src/domain/transfer.ts';
import { FAILURE_MEANINGS, PROBLEM_ADVICE } from '../../src/main/api/advice.ts';
import { Problem, type ProblemCode, renderPointer } from '../../src/main/http/problem.ts';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, startService } from '../support/service.ts';

const DOCUMENT = readFileSync(new URL('../../docs/API.md', import.meta.url), 'utf8');

type Operation = {
  parameters: { name: string; in: string }[];
  requestBody?: { required: boolean };
  responses: Record<string, unknown>;
};

type Document = { paths: Record<string, Record<string, Operation>> };

/** The operations of /openapi.json, as the service serves them. */
let operations: Map<string, Operation>;

before(async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  const { body } = await request<Document>(service, 'GET', '/openapi.json');
  operations = new Map(
    Object.entries(body.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]): [string, Operation] => [
        `${method.toUpperCase()} ${path}`,
        operation,
      ]),
    ),
  );
  await checkPromises(database, { nothingPending: true });
});

test('problem: each code says when it occurs and what to do next', () => {
  for (const [code, { when, next }] of Object.entries(PROBLEM_ADVICE)) {
    assert.ok(when.length > 10, code);
    assert.ok(next.length > 5, code);
  }
});

test('problem: the failure codes are explained in the order in which they refuse', () => {
  assert.deepEqual(Object.keys(FAILURE_MEANINGS), FAILURE_CODES);
});

test('problem: docs/API.md has a section for each route of /openapi.json, and for no other', () => {
  const headings = [...DOCUMENT.matchAll(/^### `([A-Z]+ \/\S*)`$/gm)].map(([, route = '']) => route);
  assert.deepEqual(headings.toSorted(), [...operations.keys()].toSorted());
});

test('openapi: optional bodies are not required, and each route lists its headers', () => {
  const optional = [
    'POST /approvals/{id}',
    'POST /holds/{id}/capture',
    'POST /holds/{id}/void',
    'POST /transfers/{id}/reversals',
    'POST /webhooks/{id}/rotate-secret',
  ];
  const bodies = [...operations].flatMap(([route, { requestBody }]) => (requestBody ? [{ route, requestBody }] : []));
  assert.deepEqual(
    bodies
      .filter(({ requestBody }) => !requestBody.required)
      .map(({ route }) => route)
      .toSorted(),
    optional,
  );
  const others = new Set(['POST /approvals/{id}', 'POST /webhooks/{id}/rotate-secret']);
  const movements = [...optional.filter((route) => !others.has(route)), 'POST /holds', 'POST /transfers'];
  const webhooks = [
    'POST /webhooks',
    'POST /webhooks/{id}/deliveries/{number}/redeliver',
    'POST /webhooks/{id}/rotate-secret',
  ];
  const takers: Record<string, string[]> = {
    'Idempotency-Key': ['POST /accounts', 'POST /clock', 'POST /ledgers', ...movements, ...webhooks],
    Prefer: [...movements, 'POST /approvals/{id}'],
  };
  for (const [name, taking] of Object.entries(takers)) {
    const routes = [...operations].filter(([, { parameters }]) =>
      parameters.some((each) => each.in === 'header' && each.name === name),
    );
    assert.deepEqual(routes.map(([route]) => route).toSorted(), taking.toSorted());
  }
});

test('problem: docs/API.md names each status that a route answers with', () => {
  for (const [route, operation] of operations) {
    const section = sectionOf(`\`${route}\``);
    for (const status of Object.keys(operation.responses).filter((each) => Number(each) < 400)) {
      assert.ok(section.includes(`**${status}**`), `${route} ${status}`);
    }
  }
});

test('problem: every example in docs/API.md is JSON', () => {
  const examples = [...DOCUMENT.matchAll(/^```json\n([\s\S]*?)^```/gm)];
  assert.ok(examples.length >= 5);
  for (const [, example = ''] of examples) assert.doesNotThrow(() => JSON.parse(example), example);
});

test('problem: is rendered as in RFC 9457, with its additional members last', () => {
  const problem = new Problem('idempotency_key_reused', 'Choose another.', { members: { transfer_id: 'x' } });
  assert.equal(problem.status, 422);
  assert.deepEqual(JSON.parse(problem.render('request-1')), {
    type: 'urn:gopherpay:problem:idempotency_key_reused',
    title: 'The idempotency key was used for another request',
    status: 422,
    code: 'idempotency_key_reused',
    detail: 'Choose another.',
    request_id: 'request-1',
    transfer_id: 'x',
  });
});

test('problem: a pointer escapes special characters and truncates long names', () => {
  assert.equal(renderPointer([]), '');
  assert.equal(renderPointer(['metadata', 'a/b~1', 0]), '/metadata/a~1b~01/0');
  assert.equal(renderPointer(['x'.repeat(1000)]).length, 101);
});

test('problem: the advice names Retry-After for each code that may be retried', () => {
  const again: ProblemCode[] = [
    'instant_not_closed',
    'queue_full',
    'rate_limited',
    'issuer_unavailable',
    'database_unavailable',
    'outcome_unknown',
    'too_many_bodies',
    'too_many_answers',
    'not_ready',
    'query_too_slow',
    'too_busy',
    'too_many_connections',
    'too_many_streams',
    'shutting_down',
  ];
  assert.deepEqual(
    Object.entries(PROBLEM_ADVICE)
      .filter(([, { next }]) => next.includes('`Retry-After`'))
      .map(([code]) => code)
      .toSorted(),
    again.toSorted(),
  );
});

/** The text from a heading to the next one of any level. */
function sectionOf(heading: string): string {
  const sections = DOCUMENT.split(/^(?=#{1,4} )/m);
  const section = sections.find((each) => each.replace(/^#+ /, '').startsWith(`${heading}\n`));
  assert.ok(section, `docs/API.md has no heading "${heading}".`);
  return section;
}
