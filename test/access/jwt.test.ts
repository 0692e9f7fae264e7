// Tokens of an OIDC issuer. Method: an issuer on this machine, which can fail in every way, and a clock that the test
// moves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exportSPKI, importJWK, SignJWT } from 'jose';
import { type JwtOptions, type JwtSettings, JwtVerifier } from '../../src/main/access/jwt.ts';
import { TokenError, type TokenReason } from '../../src/main/access/token-error.ts';
import { NO_LIMITS } from '../../src/domain/access.ts';
import { Issuer } from '../support/issuer.ts';

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const MINUTE = 60_000;

/** Both clocks, moved by the test. */
class TestClock {
  #ms = 5000;
  readonly #startMs = Math.floor(Date.now() / 1000) * 1000;
  readonly nowMs = (): number => this.#ms;
  readonly wallMs = (): number => this.#startMs + this.#ms - 5000;
  pass(ms: number): void {
    this.#ms += ms;
  }
}

function verifierOf(issuer: Issuer, settings: Partial<JwtSettings> = {}, options: Omit<JwtOptions, 'clock'> = {}) {
  const clock = new TestClock();
  const verifier = new JwtVerifier(
    {
      issuer: issuer.url,
      audience: 'pay',
      algorithms: ALGORITHMS,
      scopesClaim: 'scope',
      ledgerClaim: 'gopherpay_ledger',
      ...settings,
    },
    { ...options, clock },
  );
  return { verifier, clock };
}

async function assertRefused(verifier: JwtVerifier, token: string, reason: TokenReason): Promise<void> {
  await assert.rejects(verifier.verify(token), (error) => {
    assert.ok(error instanceof TokenError, String(error));
    assert.equal(error.reason, reason, error.message);
    return true;
  });
  assert.equal(verifier.recall(token), undefined);
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

test('tokens: a token signed by each allowed algorithm names its caller', async (t) => {
  const issuer = await Issuer.start(t, ALGORITHMS);
  const { verifier } = verifierOf(issuer);
  for (const kid of ALGORITHMS) {
    const token = await issuer.sign({ scope: 'transfers:read unknown accounts:write' }, { kid });
    assert.equal(verifier.recall(token), undefined);
    const principal = await verifier.verify(token);
    assert.deepEqual(principal, {
      id: 'jwt:billing',
      ledger: 'acme',
      scopes: new Set(['transfers:read', 'accounts:write']),
      limits: NO_LIMITS,
    });
    assert.equal(verifier.recall(token), principal);
  }
  assert.deepEqual(issuer.requests, ['/.well-known/openid-configuration', '/keys']);
});

test('tokens: the scopes may be a list in another claim, and the ledger may be all', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier } = verifierOf(issuer, { scopesClaim: 'roles', ledgerClaim: 'https://example.com/ledger' });
  const token = await issuer.sign({ roles: ['events:read', 7, 'other'], 'https://example.com/ledger': '*' });
  const { ledger, scopes } = await verifier.verify(token);
  assert.deepEqual({ ledger, scopes }, { ledger: null, scopes: new Set(['events:read']) });
});

test('tokens: a token without scopes may do nothing', async (t) => {
  const issuer = await Issuer.start(t);
  const { scopes } = await verifierOf(issuer).verifier.verify(await issuer.sign({ scope: undefined }));
  assert.equal(scopes.size, 0);
});

const CLAIMS: { name: string; claims: Record<string, unknown>; reason: TokenReason }[] = [
  { name: 'another issuer', claims: { iss: 'https://login.example.com' }, reason: 'not_trusted' },
  { name: 'an issuer with a slash more', claims: { iss: 'http://127.0.0.1/' }, reason: 'not_trusted' },
  { name: 'another audience', claims: { aud: 'payroll' }, reason: 'not_trusted' },
  { name: 'an empty list of audiences', claims: { aud: [] }, reason: 'not_trusted' },
  { name: 'an end in the past', claims: { exp: Math.floor(Date.now() / 1000) - 60 }, reason: 'expired' },
  { name: 'a begin in the future', claims: { nbf: Math.floor(Date.now() / 1000) + 60 }, reason: 'not_trusted' },
  { name: 'no end', claims: { exp: undefined }, reason: 'malformed' },
  { name: 'an end that is text', claims: { exp: '99999999999' }, reason: 'malformed' },
  { name: 'a begin that is text', claims: { nbf: '0' }, reason: 'malformed' },
  { name: 'no issuer', claims: { iss: undefined }, reason: 'malformed' },
  { name: 'an issuer that is a list', claims: { iss: ['http://127.0.0.1'] }, reason: 'malformed' },
  { name: 'no audience', claims: { aud: undefined }, reason: 'malformed' },
  { name: 'an audience that is an object', claims: { aud: { pay: true } }, reason: 'malformed' },
  { name: 'no subject', claims: { sub: undefined }, reason: 'malformed' },
  { name: 'a subject that is a number', claims: { sub: 7 }, reason: 'malformed' },
  { name: 'an empty subject', claims: { sub: '' }, reason: 'not_allowed' },
  { name: 'a subject with a line break', claims: { sub: 'a\nb' }, reason: 'not_allowed' },
  { name: 'a subject with a space', claims: { sub: 'a b' }, reason: 'not_allowed' },
  { name: 'a subject of 101 characters', claims: { sub: 'a'.repeat(101) }, reason: 'not_allowed' },
  { name: 'no ledger', claims: { gopherpay_ledger: undefined }, reason: 'not_allowed' },
  { name: 'a ledger that is null', claims: { gopherpay_ledger: null }, reason: 'not_allowed' },
  { name: 'a ledger that is a list', claims: { gopherpay_ledger: ['acme'] }, reason: 'not_allowed' },
  { name: 'a ledger that no ledger can be called', claims: { gopherpay_ledger: '../main' }, reason: 'not_allowed' },
  { name: 'scopes that are an object', claims: { scope: { 'transfers:read': true } }, reason: 'not_allowed' },
  { name: 'scopes that are null', claims: { scope: null }, reason: 'not_allowed' },
];

test('tokens: wrong claims are refused', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier } = verifierOf(issuer);
  for (const { name, claims, reason } of CLAIMS) {
    await t.test(name, async () => await assertRefused(verifier, await issuer.sign(claims), reason));
  }
});

test('tokens: `typ` may be absent or that of an access token, and nothing else', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier } = verifierOf(issuer);
  for (const typ of [undefined, 'JWT', 'jwt', 'at+jwt', 'application/at+jwt']) {
    await verifier.verify(await issuer.sign({ jti: String(typ) }, { header: { typ } }));
  }
  for (const typ of ['logout+jwt', 'dpop+jwt', 'secevent+jwt', '']) {
    await assertRefused(verifier, await issuer.sign({}, { header: { typ } }), 'not_trusted');
  }
});

test('tokens: text that is no token is refused', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier } = verifierOf(issuer);
  const token = await issuer.sign();
  const [header = '', claims = ''] = token.split('.');
  const others = [
    '',
    '.',
    '..',
    'a.b.c',
    `${token}.x`,
    `${token}.x.y`,
    `${header}.${claims}`,
    `${header}.W10.x`,
    `e30.${claims}.x`,
  ];
  for (const text of others) await assertRefused(verifier, text, 'malformed');
  assert.deepEqual(issuer.requests, []);
});

test('tokens: a token longer than 8 KiB is refused unread', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier } = verifierOf(issuer);
  const token = await issuer.sign({ padding: 'x'.repeat(6900) });
  assert.ok(token.length > 9 * 1024);
  await assertRefused(verifier, token, 'malformed');
  await verifier.verify(await issuer.sign({ padding: 'x'.repeat(5000) }));
});

test('tokens: a token without a signature, or signed with a public key as a secret, is refused', async (t) => {
  const issuer = await Issuer.start(t, ['RS256']);
  // The second verifier allows HS256 by mistake.
  const mistaken = verifierOf(issuer, { algorithms: ['RS256', 'HS256', 'none'] }).verifier;
  const claims = encode(issuer.claims());
  const [jwk = {}] = issuer.published;
  const key = await importJWK(jwk, 'RS256', { extractable: true });
  assert.ok(key instanceof CryptoKey);
  const secret = Buffer.from(await exportSPKI(key));
  const confused = async (kid?: string): Promise<string> =>
    await new SignJWT(issuer.claims()).setProtectedHeader({ alg: 'HS256', ...(kid && { kid }) }).sign(secret);
  const tokens = [
    `${encode({ alg: 'none' })}.${claims}.`,
    `${encode({ alg: 'none', kid: 'RS256' })}.${claims}.`,
    `${encode({ alg: 'None' })}.${claims}.`,
    await confused(),
    await confused('RS256'),
  ];
  const { verifier } = verifierOf(issuer);
  for (const token of tokens) await assertRefused(verifier, token, 'not_trusted');
  assert.deepEqual(issuer.requests, []);
  for (const token of tokens) await assertRefused(mistaken, token, 'not_trusted');
});

test('tokens: the signature covers header and claims', async (t) => {
  const issuer = await Issuer.start(t, ALGORITHMS);
  const { verifier } = verifierOf(issuer);
  for (const kid of ALGORITHMS) {
    const [header = '', claims = '', signature = ''] = (await issuer.sign({}, { kid })).split('.');
    const forged = encode({ ...issuer.claims(), gopherpay_ledger: '*' });
    await assertRefused(verifier, `${header}.${forged}.${signature}`, 'not_trusted');
    await assertRefused(verifier, `${encode({ alg: kid, kid, typ: 'at+jwt' })}.${claims}.${signature}`, 'not_trusted');
    await assertRefused(verifier, `${header}.${claims}.`, 'not_trusted');
  }
});

test('tokens: no changed character of header or claims is accepted', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier } = verifierOf(issuer);
  const token = await issuer.sign();
  for (let at = 0; at < token.lastIndexOf('.'); at += 1) {
    for (const other of ['A', '-', '.', '=', '\0']) {
      if (token[at] === other) continue;
      const changed = token.slice(0, at) + other + token.slice(at + 1);
      await assert.rejects(verifier.verify(changed), TokenError);
    }
  }
  await verifier.verify(token);
});

test('tokens: a key of one algorithm verifies no other', async (t) => {
  const issuer = await Issuer.start(t, ['RS256', 'ES256']);
  const { verifier } = verifierOf(issuer);
  await assertRefused(verifier, await issuer.sign({}, { kid: 'ES256', header: { kid: 'RS256' } }), 'not_trusted');
  const narrow = verifierOf(issuer, { algorithms: ['ES256'] }).verifier;
  await assertRefused(narrow, await issuer.sign({}, { kid: 'RS256' }), 'not_trusted');
});

test('tokens: keys and addresses in the header count for nothing', async (t) => {
  const issuer = await Issuer.start(t);
  const attacker = new Issuer();
  const { jwk } = await attacker.addKey('ES256');
  attacker.url = issuer.url;
  const { verifier } = verifierOf(issuer);
  const { port } = new URL(issuer.url);
  const headers = [{ jwk }, { jku: `${issuer.url}/evil` }, { x5u: `http://localhost:${port}/evil` }, { x5c: ['MII='] }];
  for (const header of headers) {
    await assertRefused(verifier, await attacker.sign({}, { header }), 'not_trusted');
    await verifier.verify(await issuer.sign({ jti: JSON.stringify(header) }, { header }));
  }
  assert.deepEqual(issuer.requests, ['/.well-known/openid-configuration', '/keys']);
});

test('tokens: an extension that must be understood is refused', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier } = verifierOf(issuer);
  const token = await issuer.sign();
  const [, claims = '', signature = ''] = token.split('.');
  for (const header of [{ crit: ['exp'], exp: 1 }, { crit: [] }, { crit: ['b64'], b64: false }]) {
    await assertRefused(
      verifier,
      `${encode({ alg: 'ES256', kid: 'ES256', ...header })}.${claims}.${signature}`,
      'not_trusted',
    );
  }
});

test('tokens: a token without a key id is accepted if one key fits', async (t) => {
  const issuer = await Issuer.start(t, ['ES256', 'RS256']);
  const token = await issuer.sign({}, { header: { kid: undefined } });
  await verifierOf(issuer).verifier.verify(token);
  await issuer.addKey('second');
  await assertRefused(verifierOf(issuer).verifier, token, 'not_trusted');
});

test('tokens: a remembered token is dropped at its end', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier, clock } = verifierOf(issuer);
  const token = await issuer.sign({ exp: clock.wallMs() / 1000 + 60 });
  await verifier.verify(token);
  clock.pass(MINUTE + 4999);
  assert.ok(verifier.recall(token), 'The clock of the issuer may be 5 s ahead.');
  clock.pass(1);
  await assertRefused(verifier, token, 'expired');
  assert.equal(verifier.size, 0);
});

test('tokens: the number of remembered tokens is bounded, and the oldest are dropped', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier } = verifierOf(issuer, {}, { rememberedMax: 20 });
  const tokens: string[] = [];
  for (let n = 0; n < 50; n += 1) {
    const token = await issuer.sign({ jti: String(n) });
    tokens.push(token);
    await verifier.verify(token);
  }
  assert.equal(verifier.size, 20);
  assert.deepEqual(
    tokens.filter((token) => verifier.recall(token) !== undefined),
    tokens.slice(30),
  );
});

test('tokens: the length of remembered tokens is bounded', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier } = verifierOf(issuer, {}, { rememberedLengthMax: 50_000 });
  let length = 0;
  for (let n = 10; n < 50; n += 1) {
    const token = await issuer.sign({ jti: String(n), padding: 'x'.repeat(5000) });
    length = token.length;
    await verifier.verify(token);
  }
  assert.equal(verifier.size, Math.floor(50_000 / length));
});

test('tokens: a token that many requests bring at once is verified once', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier } = verifierOf(issuer);
  const token = await issuer.sign();
  const principals = await Promise.all(Array.from({ length: 50 }, async () => await verifier.verify(token)));
  assert.equal(new Set(principals).size, 1);
  const forged = `${token.slice(0, -4)}AAAA`;
  const ends = await Promise.allSettled(Array.from({ length: 50 }, async () => await verifier.verify(forged)));
  assert.equal(new Set(ends.map((end) => end.status === 'rejected' && end.reason)).size, 1);
});

test('tokens: beyond 1,000 tokens at once further ones are refused, and remembered ones are not', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier, clock } = verifierOf(issuer);
  const known = await issuer.sign();
  const principal = await verifier.verify(known);
  const [header, claims] = known.split('.');
  clock.pass(10 * MINUTE - 1);
  const unknown = await issuer.sign({ jti: 'other' });
  const flood = Array.from(
    { length: 1000 },
    async (_, n) => await verifier.verify(`${header}.${claims}.${'A'.repeat(80)}${String(n).padStart(6, '0')}`),
  );
  await assertRefused(verifier, unknown, 'too_busy');
  assert.equal(verifier.recall(known), principal);
  for (const end of await Promise.allSettled(flood)) {
    assert.ok(end.status === 'rejected' && end.reason instanceof TokenError && end.reason.reason === 'not_trusted');
  }
  await verifier.verify(unknown);
});

test('issuer: a new key is found, at most one request per 30 s looks for unknown ones', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier, clock } = verifierOf(issuer);
  await verifier.verify(await issuer.sign());
  await issuer.addKey('next');
  const token = await issuer.sign({}, { kid: 'next' });
  clock.pass(29_999);
  await assertRefused(verifier, token, 'not_trusted');
  assert.equal(issuer.requests.length, 2);
  clock.pass(1);
  await verifier.verify(token);
  for (let n = 0; n < 20; n += 1) {
    await assertRefused(verifier, await issuer.sign({}, { header: { kid: `invented ${n}` } }), 'not_trusted');
  }
  assert.equal(issuer.requests.length, 4);
});

test('issuer: a removed key is not trusted after ten minutes, nor a remembered token of it after twenty', async (t) => {
  const issuer = await Issuer.start(t);
  await issuer.addKey('next');
  const { verifier, clock } = verifierOf(issuer);
  const endless = { exp: 99_999_999_999 };
  await verifier.verify(await issuer.sign(endless));
  issuer.published = issuer.published.filter(({ kid }) => kid !== 'ES256');
  clock.pass(10 * MINUTE - 1);
  const token = await issuer.sign({ ...endless, jti: 'later' });
  await verifier.verify(token);
  clock.pass(1);
  await assertRefused(verifier, await issuer.sign({ ...endless, jti: 'latest' }), 'not_trusted');
  assert.ok(verifier.recall(token));
  clock.pass(10 * MINUTE - 1);
  await assertRefused(verifier, token, 'not_trusted');
});

test('issuer: while it is down its keys are used for an hour, and then no token is accepted', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier, clock } = verifierOf(issuer);
  await verifier.verify(await issuer.sign());
  await issuer.stop();
  clock.pass(60 * MINUTE - 1);
  const endless = { exp: 99_999_999_999 };
  await verifier.verify(await issuer.sign({ ...endless, jti: '1' }));
  await assertRefused(verifier, await issuer.sign(endless, { header: { kid: 'new' } }), 'issuer_unavailable');
  clock.pass(1);
  const token = await issuer.sign({ ...endless, jti: '2' });
  await assertRefused(verifier, token, 'issuer_unavailable');
  await issuer.listen(t, Number(new URL(issuer.url).port));
  clock.pass(5000);
  await verifier.verify(token);
});

test('issuer: it may be down at the start, and is asked again after 5 s', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier, clock } = verifierOf(issuer);
  const token = await issuer.sign();
  issuer.respond.discovery = (_, response) => response.writeHead(503).end('away');
  await assertRefused(verifier, token, 'issuer_unavailable');
  issuer.respond = {};
  clock.pass(4999);
  await assertRefused(verifier, token, 'issuer_unavailable');
  assert.equal(issuer.requests.length, 1);
  clock.pass(1);
  await verifier.verify(token);
});

test('issuer: requests for many tokens at once share one fetch', async (t) => {
  const issuer = await Issuer.start(t);
  const { verifier } = verifierOf(issuer);
  const tokens = await Promise.all(Array.from({ length: 20 }, async (_, n) => await issuer.sign({ jti: String(n) })));
  await Promise.all(tokens.map(async (token) => await verifier.verify(token)));
  assert.equal(issuer.requests.length, 2);
});

const BROKEN: { name: string; breakIt: (issuer: Issuer) => void }[] = [
  { name: 'a redirect of the discovery', breakIt: (issuer) => (issuer.respond.discovery = redirect) },
  { name: 'a redirect of the keys', breakIt: (issuer) => (issuer.respond.keys = redirect) },
  {
    name: 'keys of more than 1 MiB',
    breakIt: (issuer) =>
      (issuer.respond.keys = (_, response) => response.end(`{"keys":[],"x":"${'x'.repeat(2 ** 20)}"}`)),
  },
  {
    name: 'more than 100 keys',
    breakIt: (issuer) => (issuer.published = Array.from({ length: 101 }, () => issuer.published[0] ?? {})),
  },
  {
    name: 'keys that are no JSON',
    breakIt: (issuer) => (issuer.respond.keys = (_, response) => response.end('<html>')),
  },
  {
    name: 'keys that are no list',
    breakIt: (issuer) => (issuer.respond.keys = (_, response) => response.end('{"keys":{}}')),
  },
  {
    name: 'a discovery of another issuer',
    breakIt: (issuer) => (issuer.discovery = { issuer: 'https://login.example.com' }),
  },
  {
    name: 'keys at an http address elsewhere',
    breakIt: (issuer) => (issuer.discovery = { jwks_uri: issuer.url.replace('127.0.0.1', '0.0.0.0') + '/keys' }),
  },
  { name: 'keys in a file', breakIt: (issuer) => (issuer.discovery = { jwks_uri: 'file:///etc/passwd' }) },
  { name: 'no address of keys', breakIt: (issuer) => (issuer.discovery = { jwks_uri: undefined }) },
];

function redirect(...[, response]: Parameters<NonNullable<Issuer['respond']['keys']>>): void {
  response.writeHead(302, { location: '/keys' }).end('moved');
}

for (const { name, breakIt } of BROKEN) {
  test(`issuer: ${name} is not accepted`, async (t) => {
    const issuer = await Issuer.start(t);
    const token = await issuer.sign();
    breakIt(issuer);
    await assertRefused(verifierOf(issuer).verifier, token, 'issuer_unavailable');
  });
}

const SLOW: { name: string; respond: NonNullable<Issuer['respond']['keys']> }[] = [
  { name: 'never answers', respond: () => {} },
  {
    name: 'sends keys bit by bit',
    respond: (_, response) => {
      const timer = setInterval(() => response.write(' '), 10);
      response.once('close', () => clearInterval(timer));
    },
  },
];

for (const { name, respond } of SLOW) {
  test(`issuer: one that ${name} is given up, and its connection is closed`, async (t) => {
    const issuer = await Issuer.start(t);
    const token = await issuer.sign();
    const closed = Promise.withResolvers<void>();
    issuer.respond.keys = (request, response) => {
      response.once('close', closed.resolve);
      respond(request, response);
    };
    const { verifier, clock } = verifierOf(issuer, {}, { fetchTimeoutMs: 100 });
    await assertRefused(verifier, token, 'issuer_unavailable');
    await closed.promise;
    issuer.respond = {};
    clock.pass(5000);
    await verifier.verify(token);
  });
}
