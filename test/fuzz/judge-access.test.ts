// Goal: the judge of random requests finds whatever is served beyond a key, and each refusal that a key does not explain.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeAccessRefusal, judgeServed } from './judge-access.ts';
import type { Operation } from '../support/interface.ts';
import type { Access, Sent } from './sent.ts';
import type { Answer } from './wire.ts';

const PAY: Operation = {
  id: 'createTransfer',
  name: 'POST /transfers',
  method: 'POST',
  path: '/transfers',
  parameters: [],
  body: {},
  scope: 'transfers:write',
  isOfLedger: true,
  answers: new Map(),
};
const CHANGE: Operation = {
  ...PAY,
  name: 'PATCH /accounts/{account_number}',
  method: 'PATCH',
  scope: 'accounts:write',
};
const OPEN: Operation = { ...PAY, name: 'POST /accounts', path: '/accounts', scope: 'accounts:write' };
const METRICS: Operation = {
  ...PAY,
  name: 'GET /metrics',
  method: 'GET',
  path: '/metrics',
  body: null,
  isOfLedger: false,
};

const allow = (scopes: string[], more: Partial<NonNullable<Access>> = {}): Access => ({
  scopes: new Set(scopes),
  ledger: null,
  accountPrefix: null,
  ...more,
});

function answer(body: unknown = {}, headers: Record<string, string> = {}): Answer {
  return {
    status: 200,
    headers: new Map(Object.entries(headers)),
    body: Buffer.from(JSON.stringify(body)),
    closes: false,
  };
}

function sent(target: string, body: unknown = null): Sent {
  const empty = { operation: '', method: '', headers: [], body: null, chunked: false, mutated: [] };
  return { case: { ...empty, target }, target, body: body === null ? null : Buffer.from(JSON.stringify(body)) };
}

const paid = sent('/transfers', { from_account: 'F1', to_account: 'F2', amount: 1 });
const funded = sent('/transfers', { transfers: [{ from_account: '@external', to_account: 'F2', amount: 1 }] });

test('fuzz: the judge of keys accepts what a key allows', () => {
  const all = allow(['transfers:write', 'funding:write', 'accounts:write', 'accounts:admin']);
  for (const request of [paid, funded]) assert.deepEqual(judgeServed(request, answer(), PAY, all), []);
  const own = allow(['transfers:write'], { ledger: 'shop', accountPrefix: 'F' });
  assert.deepEqual(judgeServed(paid, answer({ from_account: 'F1', to_account: 'X' }), PAY, own), []);
  assert.deepEqual(judgeServed({ ...paid, target: '/ledgers/%73hop/transfers' }, answer(), PAY, own), []);
  assert.deepEqual(judgeServed(paid, answer(), { ...PAY, scope: null }, null), []);
  const itself = { ...METRICS, name: 'GET /access', path: '/access', scope: 'any' };
  assert.deepEqual(judgeServed(sent('/access'), answer(), itself, own), []);
});

const BEYOND: readonly { what: string; request: Sent; operation?: Operation; access: Access; shown?: unknown }[] = [
  { what: 'a request without a key', request: paid, access: null },
  { what: 'a request without its scope', request: paid, access: allow(['transfers:read', 'funding:write']) },
  { what: 'funding without its scope', request: funded, access: allow(['transfers:write']) },
  {
    what: 'an opening balance without its scope',
    request: sent('/accounts', { name: 'Ann', balance: 1 }),
    operation: OPEN,
    access: allow(['accounts:write', 'accounts:admin']),
  },
  {
    what: 'an overdraft limit without its scope',
    request: sent('/accounts', { accounts: [{ name: 'Ann', overdraft_limit: 1 }] }),
    operation: OPEN,
    access: allow(['accounts:write', 'funding:write']),
  },
  {
    what: 'a frozen account without its scope',
    request: sent('/accounts/F1', { status: 'frozen' }),
    operation: CHANGE,
    access: allow(['accounts:write']),
  },
  {
    what: 'another ledger',
    request: { ...paid, target: '/ledgers/main/transfers' },
    access: allow(['transfers:write'], { ledger: 'shop' }),
  },
  {
    what: 'all ledgers',
    request: sent('/metrics'),
    operation: METRICS,
    access: allow(['transfers:write'], { ledger: 'shop' }),
  },
  {
    what: 'an account of others in a request',
    request: sent('/accounts', { account_number: 'X1', name: 'Ann' }),
    operation: OPEN,
    access: allow(['accounts:write'], { accountPrefix: 'F' }),
  },
  {
    what: 'an account of others in an answer',
    request: paid,
    access: allow(['transfers:write'], { accountPrefix: 'F' }),
    shown: { items: [{ from_account: 'X1', to_account: 'X2' }] },
  },
];

for (const { what, request, operation = PAY, access, shown } of BEYOND) {
  test(`fuzz: the judge of keys finds ${what} that was served`, () => {
    assert.equal(judgeServed(request, answer(shown), operation, access).length, 1);
  });
}

test('fuzz: the judge of keys finds a refusal that the key does not explain', () => {
  const lacks = (scope: string) => answer({}, { 'www-authenticate': `Bearer realm="x", scope="${scope}"` });
  const key = allow(['accounts:read']);
  assert.deepEqual(judgeAccessRefusal(lacks('events:read'), 'insufficient_scope', key), []);
  assert.deepEqual(judgeAccessRefusal(lacks('x'), 'unauthorized', null), []);
  assert.deepEqual(judgeAccessRefusal(answer(), 'not_allowed', allow([], { ledger: 'shop' })), []);
  for (const [refusal, code, access] of [
    [lacks('accounts:read'), 'insufficient_scope', key],
    [answer(), 'insufficient_scope', key],
    [lacks('events:read'), 'insufficient_scope', null],
    [lacks('x'), 'unauthorized', key],
    [answer(), 'unauthorized', null],
    [answer(), 'not_allowed', key],
  ] as const) {
    assert.equal(judgeAccessRefusal(refusal, code, access).length, 1, code);
  }
});
