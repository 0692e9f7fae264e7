// The router alone: which route a method and a path lead to, and what is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Problem } from '../../src/main/http/problem.ts';
import { Router, splitLedger } from '../../src/main/http/router.ts';

const router = new Router<string>();
router.add('GET', '/', 'home');
router.add('GET', '/accounts', 'list');
router.add('POST', '/accounts', 'open');
router.add('GET', '/accounts/:number', 'show');
router.add('DELETE', '/accounts/:number', 'close');
router.add('GET', '/accounts/:number/entries', 'entries');
router.add('GET', '/accounts/:number/entries/:entry', 'entry');
router.add('GET', '/accounts/summary', 'summary');

const FOUND: { method: string; path: string; route: string; parameters: string[] }[] = [
  { method: 'GET', path: '/', route: 'home', parameters: [] },
  { method: 'GET', path: '/accounts', route: 'list', parameters: [] },
  { method: 'HEAD', path: '/accounts', route: 'list', parameters: [] },
  { method: 'POST', path: '/accounts', route: 'open', parameters: [] },
  { method: 'GET', path: '/accounts/ACC1', route: 'show', parameters: ['ACC1'] },
  { method: 'DELETE', path: '/accounts/ACC1', route: 'close', parameters: ['ACC1'] },
  { method: 'GET', path: '/accounts/ACC1/entries', route: 'entries', parameters: ['ACC1'] },
  { method: 'GET', path: '/accounts/ACC1/entries/7', route: 'entry', parameters: ['ACC1', '7'] },
  { method: 'GET', path: '/accounts/summary', route: 'summary', parameters: [] },
  { method: 'GET', path: '/accounts/accounts', route: 'show', parameters: ['accounts'] },
  { method: 'GET', path: '/accounts/entries/entries', route: 'entries', parameters: ['entries'] },
  { method: 'GET', path: '/accounts/%40external', route: 'show', parameters: ['@external'] },
  { method: 'GET', path: '/accounts/a%2Fb', route: 'show', parameters: ['a/b'] },
  { method: 'GET', path: '/accounts/..', route: 'show', parameters: ['..'] },
  { method: 'GET', path: '/accounts/%C3%A4', route: 'show', parameters: ['ä'] },
  { method: 'GET', path: '/accounts/constructor', route: 'show', parameters: ['constructor'] },
  { method: 'GET', path: '/accounts/__proto__', route: 'show', parameters: ['__proto__'] },
];

for (const { method, path, route, parameters } of FOUND) {
  test(`router: ${method} ${path} leads to ${route}`, () => {
    assert.deepEqual(router.find(method, path), { route, parameters });
  });
}

const NOT_FOUND = ['/nothing', '/accounts/', '//accounts', '/accounts//entries', '/Accounts', '/accounts/a/b'];
for (const path of [...NOT_FOUND, '/__proto__', '/constructor', '/%61ccounts', '/accounts/a/entries/1/2']) {
  test(`router: "${path}" is not found`, () => {
    assert.equal(
      codeOf(() => router.find('GET', path)),
      'not_found',
    );
  });
}

for (const path of ['/accounts/%', '/accounts/%4', '/accounts/%ZZ', '/accounts/%FF', '/accounts/%E0%A4%A/entries']) {
  test(`router: ${path} is not correctly encoded`, () => {
    assert.equal(
      codeOf(() => router.find('GET', path)),
      'invalid_request',
    );
  });
}

test('router: an unsupported method lists the supported ones', () => {
  assert.throws(
    () => router.find('PATCH', '/accounts/ACC1'),
    (error) => {
      assert.ok(error instanceof Problem);
      assert.equal(error.code, 'method_not_allowed');
      assert.deepEqual(error.headers, { Allow: 'GET, HEAD, DELETE, OPTIONS' });
      return true;
    },
  );
});

test('router: the name of an inherited property is no method', () => {
  assert.equal(
    codeOf(() => router.find('constructor', '/accounts')),
    'method_not_allowed',
  );
});

test('router: allowOf lists the methods of a path, and those of all paths for an asterisk', () => {
  assert.equal(router.allowOf('/accounts'), 'GET, HEAD, POST, OPTIONS');
  assert.equal(router.allowOf('/accounts/x'), 'GET, HEAD, DELETE, OPTIONS');
  assert.equal(router.allowOf('*'), 'GET, HEAD, POST, DELETE, OPTIONS');
  assert.equal(
    codeOf(() => router.allowOf('/nothing')),
    'not_found',
  );
});

test('router: two routes for one method and path throw', () => {
  const twice = new Router<string>();
  twice.add('GET', '/accounts/:number', 'first');
  assert.throws(() => twice.add('GET', '/accounts/:account_number', 'second'), {
    message: 'There are two routes for GET /accounts/:account_number.',
  });
  assert.deepEqual(twice.find('GET', '/accounts/x'), { route: 'first', parameters: ['x'] });
});

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
  return 'no problem';
}

const SPLIT: { path: string; ledger: string; prefix: string; rest: string }[] = [
  { path: '/accounts', ledger: '', prefix: '', rest: '/accounts' },
  { path: '/ledgers', ledger: '', prefix: '', rest: '/ledgers' },
  { path: '/ledgers/shop', ledger: '', prefix: '', rest: '/ledgers/shop' },
  { path: '/ledgers/shop/accounts', ledger: 'shop', prefix: '/ledgers/shop', rest: '/accounts' },
  { path: '/ledgers/shop/accounts/A/entries', ledger: 'shop', prefix: '/ledgers/shop', rest: '/accounts/A/entries' },
  { path: '/ledgers/sh%6Fp/accounts', ledger: 'shop', prefix: '/ledgers/sh%6Fp', rest: '/accounts' },
  { path: '/ledgers/a%2Fb/accounts', ledger: 'a/b', prefix: '/ledgers/a%2Fb', rest: '/accounts' },
  { path: '/ledgers/shop/', ledger: 'shop', prefix: '/ledgers/shop', rest: '/' },
  { path: '/ledgers/shop/ledgers/b/x', ledger: 'shop', prefix: '/ledgers/shop', rest: '/ledgers/b/x' },
  { path: '/ledgers//accounts', ledger: '', prefix: '', rest: '/ledgers//accounts' },
  { path: '/Ledgers/shop/accounts', ledger: '', prefix: '', rest: '/Ledgers/shop/accounts' },
  { path: '*', ledger: '', prefix: '', rest: '*' },
];

for (const { path, ledger, prefix, rest } of SPLIT) {
  test(`router: ${path} names ${ledger === '' ? 'no ledger' : `the ledger ${ledger}`}`, () => {
    assert.deepEqual(splitLedger(path), { ledger, prefix, path: rest });
  });
}

test('router: a ledger that is not correctly encoded is refused', () => {
  assert.equal(
    codeOf(() => splitLedger('/ledgers/%E0%A4%A/accounts')),
    'invalid_request',
  );
});
