// One case is one request, generated from the service's own description of an operation: valid, or with one or two
// mutations. It is plain data, so that fast-check can shrink it and a person can send it again.
import * as fc from 'fast-check';
import type { Credential } from './credentials.ts';
import { type Json, mutate, mutation, render, valid } from './json-text.ts';
import {
  FIXTURE_LEDGER,
  ID_TOKENS,
  knownText,
  NOWHERE_ID,
  edgeCaseLiteral,
  pathText,
  WEBHOOK_TOKENS,
} from './edge-cases.ts';
import {
  type Header,
  byteMutation,
  formMutation,
  headerMutation,
  methodMutation,
  pathMutation,
  queryMutation,
  segmentMutation,
  plainHeader,
} from './mutations.ts';
import type { Interface, Operation, Parameter } from '../support/interface.ts';

export type Case = {
  /** The operation that it was made from. */
  readonly operation: string;
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Its bytes, one character each. */
  readonly body: string | null;
  readonly chunked: boolean;
  /** What is wrong with it on purpose. If nothing is, the service has no reason to call it ill-formed. */
  readonly mutated: readonly string[];
  /** The key of the caller. Undefined: the service has no keys. */
  readonly credential?: Credential;
};

/** The ids and keys for which the tokens in a case stand. */
export type Ids = ReadonlyMap<string, string>;

/** Nothing most of the time, and nothing again when fast-check looks for a smaller case. */
function rarely<Value>(arbitrary: fc.Arbitrary<Value>, oneIn: number): fc.Arbitrary<Value | null> {
  return fc.oneof(
    { withCrossShrink: true },
    { arbitrary: fc.constant(null), weight: oneIn - 1 },
    { arbitrary, weight: 1 },
  );
}

export function anyCase({ operations, schemas }: Interface): fc.Arbitrary<Case> {
  const weighted = operations.map((operation) => ({
    arbitrary: caseOf(operation, schemas),
    weight: operation.body ? 3 : 1,
  }));
  return fc.oneof(...weighted);
}

function caseOf(operation: Operation, schemas: Interface['schemas']): fc.Arbitrary<Case> {
  const names = [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  const queryParameters = operation.parameters.filter((parameter) => parameter.in === 'query');
  return fc
    .record({
      ledger: operation.isOfLedger ? rarely(ledgerName, 3) : fc.constant(null),
      segments: fc.tuple(...names.map((name) => pathText(name, operation.path))),
      segmentMutation: rarely(segmentMutation, 15),
      query: fc.tuple(...queryParameters.map(({ name, schema }) => rarely(queryText(name, schema, operation.path), 4))),
      queryMutation: rarely(queryMutation, 15),
      // Of some headers two are one too many.
      headers: fc.uniqueArray(plainHeader, { maxLength: 3, size: 'max', selector: ([name]) => name }),
      headerMutation: rarely(headerMutation, 12),
      method: rarely(methodMutation, 25),
      path: rarely(pathMutation, 25),
      json: operation.body ? valid(operation.body, schemas) : fc.constant(null),
      mutations: fc.oneof(
        { withCrossShrink: true },
        { arbitrary: fc.constant([]), weight: 5 },
        { arbitrary: fc.array(mutation, { minLength: 1, maxLength: 2 }), weight: 4 },
      ),
      form: rarely(formMutation, 20),
      bytes: rarely(byteMutation, 20),
      stray: rarely(edgeCaseLiteral, 15),
      chunked: fc.boolean(),
    })
    .map((made) => {
      const mutated: string[] = [];
      const parts = made.segments.map(encodeURIComponent);
      if (made.segmentMutation !== null && parts.length > 0) {
        parts[0] = made.segmentMutation;
        mutated.push('segment');
      }
      let target = operation.path.replaceAll(/\{\w+\}/g, () => parts.shift() ?? '');
      if (made.ledger !== null) target = `/ledgers/${made.ledger}${target}`;
      if (made.path) {
        target = made.path.change(target);
        mutated.push('path');
      }
      const query = queryParameters.flatMap(({ name }, index) => {
        const value = made.query[index] ?? null;
        return value === null ? [] : [`${name}=${encodeURIComponent(value)}`];
      });
      if (made.queryMutation !== null) {
        query.push(made.queryMutation);
        mutated.push('query');
      }
      if (query.length > 0) target += `?${query.join('&')}`;
      if (made.method !== null) mutated.push('method');
      if (made.headerMutation) mutated.push('header');
      const body = operation.body ? toBody(made, mutated) : made.stray && toBytes(made.stray);
      const headers = made.headerMutation ? [...made.headers, made.headerMutation] : made.headers;
      return {
        operation: operation.name,
        method: made.method ?? operation.method,
        target,
        headers: withType(headers, body),
        body,
        chunked: made.chunked && body !== null,
        mutated,
      };
    });
}

/** The ledger that a path names: mostly one that is there. */
const ledgerName = fc.oneof(
  { arbitrary: fc.constant(FIXTURE_LEDGER), weight: 6 },
  { arbitrary: fc.constantFrom('main', 'a', 'no-such-ledger', '%6dain'), weight: 3 },
);

/** Places in lists, as the service would give them. */
const CURSORS: Readonly<Record<string, readonly string[]>> = {
  '/ledgers': ['main', FIXTURE_LEDGER],
  '/accounts': ['F0:EUR', '@external:EUR', 'x:USD'],
  '/approvals': [NOWHERE_ID],
  '/holds': [NOWHERE_ID],
  '/journal': ['1', '9'],
  '/audit-log': [NOWHERE_ID],
  '/webhooks': [NOWHERE_ID],
  '/transfers': ['settled', 'pending'].map((stage) =>
    Buffer.from(
      JSON.stringify(
        stage === 'pending' ? { stage, id: NOWHERE_ID, head: '9' } : { stage, number: '9', position: 0, entry: '5' },
      ),
    ).toString('base64url'),
  ),
};

/** The value of a parameter of a query. */
function queryText(name: string, schema: Parameter['schema'], path: string): fc.Arbitrary<string> {
  if (name === 'after') return fc.constantFrom(...(CURSORS[path] ?? ['0', '1']));
  if (schema.enum) return fc.constantFrom(...schema.enum.map(String));
  if (schema.type === 'integer') {
    const { minimum = 0, maximum = 1000 } = schema;
    return fc
      .oneof(fc.integer({ min: minimum, max: Math.min(maximum, 20) }), fc.constantFrom(minimum, maximum))
      .map(String);
  }
  return knownText(name, schema);
}

type BodyDraw = {
  json: Json | null;
  mutations: readonly Parameters<typeof mutate>[1][];
  form: { name: string; change: (text: string) => string } | null;
  bytes: { where: number; bytes: string } | null;
};

function toBody({ json, mutations, form, bytes }: BodyDraw, mutated: string[]): string | null {
  if (!json) return null;
  if (mutations.length > 0) mutated.push('mutation');
  let body = toBytes(render(mutations.reduce(mutate, json)));
  if (form) {
    body = form.change(body);
    mutated.push(`form ${form.name}`);
  }
  if (bytes) {
    const where = bytes.where % (body.length + 1);
    body = body.slice(0, where) + bytes.bytes + body.slice(where);
    mutated.push('bytes');
  }
  return form?.name === 'absent' ? null : body;
}

/** The text's bytes in UTF-8, one character each. */
function toBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function withType(headers: readonly Header[], body: string | null): Case['headers'] {
  const present = new Set(headers.map(([name]) => name.toLowerCase()));
  return body === null || present.has('content-type') ? headers : [['Content-Type', 'application/json'], ...headers];
}

const TOKEN = new RegExp([...ID_TOKENS, ...WEBHOOK_TOKENS].join('|'), 'gi');
const KEY_TOKEN = /~\w+~/g;

/** The bytes to send. */
export function renderCase(each: Case, ids: Ids): Buffer {
  const resolve = (text: string): string => text.replaceAll(TOKEN, (token) => ids.get(token.toLowerCase()) ?? token);
  const body = each.body === null ? null : resolve(each.body);
  const present = new Set(each.headers.map(([name]) => name.toLowerCase()));
  const lines = [`${each.method} ${resolve(each.target)} HTTP/1.1`];
  if (!present.has('host')) lines.push('Host: x');
  for (const [name, value] of each.headers) {
    lines.push(
      `${name}: ${name === 'Authorization' ? value.replaceAll(KEY_TOKEN, (token) => ids.get(token) ?? token) : value}`,
    );
  }
  if (body !== null) lines.push(each.chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`);
  const content = body !== null && each.chunked ? chunk(body) : (body ?? '');
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${content}`, 'latin1');
}

/** The parsed body, with tokens replaced. */
export function bodyOf(each: Case, ids: Ids): Buffer | null {
  if (each.body === null) return null;
  return Buffer.from(
    each.body.replaceAll(TOKEN, (token) => ids.get(token.toLowerCase()) ?? token),
    'latin1',
  );
}

/** Two chunks, cut in the middle at any byte. */
function chunk(body: string): string {
  const half = Math.ceil(body.length / 2);
  const parts = [body.slice(0, half), body.slice(half)].filter((part) => part !== '');
  return `${parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')}0\r\n\r\n`;
}
