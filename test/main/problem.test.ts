// The problem codes in the code and in docs/API.md must be the same, and so must the routes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { FAILURE_CODES } from '../../src/domain/transfer.ts';
import { Problem, PROBLEMS, type ProblemCode, renderPointer } from '../../src/main/http/problem.ts';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request, startService } from '../support/service.ts';

const DOCUMENT = readFileSync(new URL('../../docs/API.md', import.meta.url), 'utf8');

type BodySchema = { properties?: Record<string, unknown>; anyOf?: BodySchema[]; $ref?: string };

type Operation = {
  parameters: { name: string; in: string }[];
  requestBody?: { required: boolean; content: Record<string, { schema: BodySchema }> };
  responses: Record<string, unknown>;
};

type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, BodySchema> };
};

/** The operations of /openapi.json, as the service serves them. */
let operations: Map<string, Operation>;
let schemas: Record<string, BodySchema>;

before(async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  const { body } = await request<Document>(service, 'GET', '/openapi.json');
  ({ schemas } = body.components);
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

test('problem: docs/API.md lists every code with its status, and no other', () => {
  const listed = rowsOf('Problems').map(([code = '', status = '']) => `${code} ${status}`);
  const known = Object.entries(PROBLEMS).map(([code, { status }]) => `\`${code}\` ${status}`);
  assert.deepEqual(listed.toSorted(), known.toSorted());
});

test('problem: docs/API.md explains when each code occurs and what to do next', () => {
  for (const [code = '', , when, next] of rowsOf('Problems')) {
    assert.ok((when ?? '').length > 10, code);
    assert.ok((next ?? '').length > 5, code);
  }
});

test('problem: docs/API.md lists the failure codes of transfers, in the order in which they refuse', () => {
  assert.deepEqual(
    rowsOf('Failure codes').map(([code]) => code),
    FAILURE_CODES.map((code) => `\`${code}\``),
  );
});

test('problem: docs/API.md has a section for each route of /openapi.json, and for no other', () => {
  const headings = [...DOCUMENT.matchAll(/^### `([A-Z]+ \/\S*)`$/gm)].map(([, route = '']) => route);
  assert.deepEqual(headings.toSorted(), [...operations.keys()].toSorted());
});

test('problem: docs/API.md names exactly the parameters and fields of each route', () => {
  for (const [route, operation] of operations) {
    const section = sectionOf(`\`${route}\``);
    const named = [...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, name = '']) => name);
    const parameters = operation.parameters.filter((each) => each.in === 'query').map(({ name }) => name);
    const body = operation.requestBody?.content['application/json']?.schema;
    // Where one of several bodies may be sent, the section names the fields of all.
    const fields = [body, ...(body?.anyOf ?? [])].flatMap((schema) => Object.keys(resolve(schema).properties ?? {}));
    assert.deepEqual(named.toSorted(), [...parameters, ...fields].toSorted(), route);
  }
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
  const webhooks = ['POST /webhooks', 'POST /webhooks/{id}/rotate-secret'];
  const takers: Record<string, string[]> = {
    'Idempotency-Key': ['POST /accounts', 'POST /ledgers', ...movements, ...webhooks],
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

test('problem: docs/API.md mentions Retry-After for each code that may be retried', () => {
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
  for (const [code = '', , , next] of rowsOf('Problems')) {
    const says = next?.includes('`Retry-After`') ?? false;
    assert.equal(
      says,
      again.some((each) => `\`${each}\`` === code),
      code,
    );
  }
});

test('problem: docs/API.md and /openapi.json agree on the problems of each route', () => {
  for (const [route, operation] of operations) {
    const named = /^Problems: (.*)\.$/m.exec(sectionOf(`\`${route}\``))?.[1] ?? '';
    for (const [, code = ''] of named.matchAll(/`(\w+)`/g)) {
      const status = Object.entries(PROBLEMS).find(([each]) => each === code)?.[1].status;
      assert.ok(Object.hasOwn(operation.responses, String(status)), `${route} ${code}`);
    }
  }
});

/** The schema that a reference means. */
function resolve(schema: BodySchema | undefined): BodySchema {
  return schema?.$ref === undefined ? (schema ?? {}) : (schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {});
}

/** The cells of the table under a heading, without its head. */
function rowsOf(heading: string): string[][] {
  const rows = sectionOf(heading)
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  assert.ok(rows.length > 1, heading);
  return rows.slice(1);
}

/** The text from a heading to the next one of any level. */
function sectionOf(heading: string): string {
  const sections = DOCUMENT.split(/^(?=#{1,4} )/m);
  const section = sections.find((each) => each.replace(/^#+ /, '').startsWith(`${heading}\n`));
  assert.ok(section, `docs/API.md has no heading "${heading}".`);
  return section;
}
