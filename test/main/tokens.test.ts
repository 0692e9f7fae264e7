// Callers of a service that have a token of an OIDC issuer, or a client certificate, instead of a key.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { request as sendSecure } from 'node:https';
import { test } from 'node:test';
import { Issuer } from '../support/issuer.ts';
import { AUTHORITY, pathsOf, pemOf } from '../support/certificates.ts';
import { createDatabase } from '../support/database.ts';
import { revoke } from '../support/keys.ts';
import { type Answer, request, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

type Body = Record<string, unknown>;

const codeOf = ({ status, body }: Answer<Body>) => `${status} ${String(body['code'])}`;

test('tokens: a token of the issuer has the scopes and the ledger of its claims, and the journal its subject', async (t) => {
  const issuer = await Issuer.start(t);
  const database = await createDatabase(t);
  const service = await startService(t, {
    database,
    // No keys: the issuer alone closes the doors.
    env: { JWT_ISSUER: issuer.url, JWT_AUDIENCE: 'pay', THREADS: '1', LOG_LEVEL: 'warn' },
  });
  const all = { gopherpay_ledger: '*', sub: 'office' };
  const everything = 'accounts:read accounts:write transfers:read transfers:write funding:write events:read';
  const send = async (token: string, method: 'GET' | 'POST', path: string, body?: unknown) =>
    await request(service, method, path, body, { authorization: `Bearer ${token}`, prefer: 'wait=10' });
  const office = await issuer.sign({ ...all, scope: everything });
  const account = { name: 'Ann', balance: 100 };
  assert.equal((await send(office, 'POST', '/accounts', { ...account, account_number: 'ANN' })).status, 201);
  assert.equal((await send(office, 'POST', '/accounts', { ...account, account_number: 'BOB' })).status, 201);
  const moved = await send(office, 'POST', '/transfers', { from_account: 'ANN', to_account: 'BOB', amount: 5 });
  assert.equal(moved.body['ordered_by'], 'jwt:office');
  assert.equal(codeOf(await request(service, 'GET', '/accounts')), '401 unauthorized');
  const reader = await issuer.sign({ ...all, scope: 'accounts:read unknown:scope' });
  assert.equal((await send(reader, 'GET', '/accounts/ANN')).status, 200);
  assert.equal(codeOf(await send(reader, 'POST', '/accounts', account)), '403 insufficient_scope');
  const elsewhere = await issuer.sign({ scope: everything });
  assert.equal(codeOf(await send(elsewhere, 'GET', '/ledgers/main/accounts/ANN')), '403 not_allowed');
  assert.equal(codeOf(await send(elsewhere, 'GET', '/accounts/ANN')), '404 ledger_not_found', 'Its ledger is acme.');
  const nowhere = await issuer.sign({ ...all, gopherpay_ledger: undefined });
  assert.equal(codeOf(await send(nowhere, 'GET', '/accounts/ANN')), '403 not_allowed');
  const wrong = await issuer.sign({ ...all, aud: 'shop', scope: everything });
  assert.equal(codeOf(await send(wrong, 'GET', '/accounts/ANN')), '401 unauthorized');
  // A follower is cut off when its token expires; the service tolerates 5 s.
  const now = Math.floor(Date.now() / 1000);
  const brief = await issuer.sign({ ...all, scope: everything, exp: now - 2 });
  const stream = await fetch(`${service.url}/events`, {
    headers: { authorization: `Bearer ${brief}`, accept: 'text/event-stream' },
  });
  assert.equal(stream.status, 200);
  const ended = (async () => {
    for await (const _ of stream.body ?? []);
  })().catch(() => {});
  await ended;
  assert.equal(codeOf(await send(brief, 'GET', '/accounts/ANN')), '401 unauthorized');
  await issuer.stop();
  assert.equal((await send(office, 'GET', '/accounts/ANN')).status, 200, 'Known tokens need no issuer.');
});

test('tokens: a client certificate that is mapped to a key is that key', async (t) => {
  const database = await createDatabase(t);
  const { cert, key } = pathsOf('server');
  const create = async (...args: string[]) => {
    const program = await startProgram(t, { database, args: ['keys', 'create', '--name=machine', ...args] });
    return { code: (await program.exited).code, output: program.output(), text: program.stdout().trim() };
  };
  const mapped = await create('--scopes=accounts:read', `--client-certificate=${pathsOf('client').cert}`);
  assert.equal(mapped.code, 0, mapped.output);
  const service = await startService(t, {
    database,
    env: { TLS_CERT: cert, TLS_KEY: key, TLS_CLIENT_CA: AUTHORITY, THREADS: '1', LOG_LEVEL: 'warn' },
  });
  const ca = await readFile(AUTHORITY);
  const statusOf = async (method: string, path: string, pem: object = {}): Promise<unknown> => {
    const sent = sendSecure(new URL(path, service.url), { ca, agent: false, method, ...pem });
    sent.end();
    const [answer] = await once(sent, 'response');
    answer.resume();
    return answer.statusCode;
  };
  assert.equal(await statusOf('GET', '/accounts', pemOf('client')), 200);
  assert.equal(await statusOf('GET', '/transfers', pemOf('client')), 403, 'It has the scopes of the key.');
  assert.equal(await statusOf('GET', '/accounts', pemOf('stranger-client')), 401);
  assert.equal(await statusOf('GET', '/accounts'), 401);
  const twice = await create('--scopes=all', `--client-certificate=${pathsOf('client').cert}`);
  assert.equal(twice.code, 1);
  assert.match(twice.output, /^Another key has this certificate: /m);
  await revoke(database, { id: mapped.text.slice(3, 15), text: mapped.text, headers: { authorization: '' } });
  await until(async () => (await statusOf('GET', '/accounts', pemOf('client'))) === 401, { what: 'the revocation' });
  const again = await create('--scopes=all', `--client-certificate=${pathsOf('client').cert}`);
  assert.equal(again.code, 0, again.output);
});
