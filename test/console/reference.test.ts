// What the reference makes of the OpenAPI document: its operations, the search over them, types in words, and commands.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { curlOf, samplesOf } from '../../src/console/reference/curl.ts';
import {
  answerOf,
  groupsOf,
  headerOf,
  type OpenApi,
  type Operation,
  schemaNamed,
} from '../../src/console/reference/document.ts';
import { rulesOf, wordsOf } from '../../src/console/reference/schema-words.ts';
import { searchGroups } from '../../src/console/reference/search.ts';

const api: OpenApi = JSON.parse(readFileSync(join(import.meta.dirname, '../../docs/openapi.json'), 'utf8'));
const groups = groupsOf(api);
const BASE = new URL('https://pay.example/pay/');

function operation(id: string): Operation {
  const found = groups.flatMap(({ operations }) => operations).find((operation) => operation.id === id);
  assert.ok(found, id);
  return found;
}

function curl(id: string, name: string): string {
  const sample = samplesOf(operation(id)).find((sample) => sample.name === name);
  assert.ok(sample, name);
  return curlOf(operation(id), sample, BASE);
}

const wordsIn = (schema: Parameters<typeof wordsOf>[0]): string =>
  wordsOf(schema)
    .map(({ text }) => text)
    .join(' ');

test('reference: every operation of the document is in one group, in the order of the tags', () => {
  const ids = groups.flatMap(({ operations }) => operations.map(({ id }) => id));
  const all = Object.values(api.paths).flatMap((methods) =>
    Object.values(methods).map(({ operationId }) => operationId),
  );
  assert.deepEqual(ids.toSorted(), all.toSorted());
  assert.deepEqual(
    groups.map(({ tag }) => tag),
    (api.tags ?? []).map(({ name }) => name),
  );
});

test('reference: every shared answer and header of the document is found', () => {
  for (const { json } of groups.flatMap(({ operations }) => operations)) {
    for (const [status, answer] of Object.entries(json.responses)) {
      const found = answerOf(api, answer);
      assert.ok(found.description, `${json.operationId} ${status}`);
      for (const [name, header] of Object.entries(found.headers ?? {})) assert.ok(headerOf(api, header).schema, name);
    }
  }
});

test('reference: a name that objects inherit names no schema', () => {
  assert.equal(schemaNamed(api, 'constructor'), null);
  assert.notEqual(schemaNamed(api, 'Transfer'), null);
});

test('reference: the search finds operations with every word, wherever it is', () => {
  const idsOf = (query: string): string[] =>
    searchGroups(groups, query).flatMap(({ operations }) => operations.map(({ id }) => id));
  assert.deepEqual(idsOf('  POST void '), ['voidHold']);
  assert.deepEqual(idsOf('createtransfer'), ['createTransfer']);
  assert.ok(idsOf('funding:write').includes('decideApproval'));
  assert.ok(idsOf('failure_code').includes('listTransfers'));
  assert.deepEqual(idsOf('no such words'), []);
  assert.equal(
    idsOf('').length,
    Object.values(groups).reduce((sum, { operations }) => sum + operations.length, 0),
  );
});

test('reference: types are words, and schemas in them are named', () => {
  assert.equal(wordsIn({ anyOf: [{ $ref: '#/components/schemas/Metadata' }, { type: 'null' }] }), 'Metadata or null');
  assert.equal(wordsIn({ type: 'array', items: { $ref: '#/components/schemas/Transfer' } }), 'array of Transfer');
  assert.equal(wordsIn({ type: ['string', 'null'], format: 'date-time' }), 'string (date-time) or null');
  assert.equal(wordsIn({ type: 'string', enum: ['a', 'b'] }), '"a" or "b"');
  assert.equal(wordsIn({ const: true }), 'true');
  assert.equal(wordsIn({ type: 'object', additionalProperties: { type: 'string' } }), 'object of string');
  assert.equal(wordsIn({}), 'any value');
});

test('reference: rules are told, except the bounds that every integer has', () => {
  const { MIN_SAFE_INTEGER: minimum, MAX_SAFE_INTEGER: maximum } = Number;
  assert.deepEqual(rulesOf({ type: 'integer', minimum, maximum }), []);
  assert.deepEqual(rulesOf({ type: 'integer', minimum: 1, maximum }), ['at least 1']);
  assert.deepEqual(rulesOf({ type: 'integer', minimum: 1, maximum: 1000 }), ['1 to 1000']);
  assert.deepEqual(rulesOf({ type: 'string', maxLength: 40, default: 'x' }), [
    'at most 40 characters',
    '"x" by default',
  ]);
  assert.deepEqual(rulesOf({ type: 'array', minItems: 4, maxItems: 4, items: { minLength: 1 } }), [
    '4 items',
    'each at least 1 characters',
  ]);
});

test('reference: a command is for this service, with a key that is a variable', () => {
  assert.equal(
    curl('createTransfer', 'settled'),
    [
      "curl -sS 'https://pay.example/pay/transfers'",
      '-H "Authorization: Bearer $GOPHERPAY_KEY"',
      '-H "Idempotency-Key: $(uuidgen)"',
      "-H 'Prefer: wait=5'",
      "-H 'Content-Type: application/json'",
      `-d '{"from_account":"ACC1001","to_account":"ACC1002","amount":2500}'`,
    ].join(' \\\n  '),
  );
  assert.doesNotMatch(curl('createTransfer', 'accepted'), /Prefer/);
  assert.match(curl('createTransfer', 'split'), /dry_run=true/);
  assert.equal(curl('getHealth', 'alive'), "curl -sS 'https://pay.example/pay/healthz'");
  assert.match(curl('closeAccount', ''), /^curl -sS -X DELETE 'https:\/\/pay\.example\/pay\/accounts\/[^{}]+' /);
});

test('reference: a quote in an example ends no word of the shell', () => {
  const sample = { name: '', body: { description: "Ann's" }, answer: null };
  assert.ok(curlOf(operation('createTransfer'), sample, BASE).endsWith(String.raw`-d '{"description":"Ann'\''s"}'`));
});
