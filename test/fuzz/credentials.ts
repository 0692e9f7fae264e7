// The keys of a service under test, and how cases use them: a valid key as described, or an Authorization header with
// one mutation.
import * as fc from 'fast-check';
import { type Scope, SCOPES } from '../../src/domain/access.ts';
import type { TestDatabase } from '../support/database.ts';
import { makeKey, revoke, type TestKey } from '../support/keys.ts';
import { drawFrom } from '../support/random.ts';
import { request } from '../support/service.ts';
import { until } from '../support/until.ts';
import type { Case } from './cases.ts';
import { FIXTURE_LEDGER } from './edge-cases.ts';

/** What a key allows. */
export type Allowed = {
  readonly scopes: ReadonlySet<string>;
  /** Null: every ledger. */
  readonly ledger: string | null;
  readonly accountPrefix: string | null;
};

const PARTIAL = ['partial0', 'partial1', 'partial2', 'partial3', 'partial4', 'partial5'] as const;
const KEY_NAMES = ['all', ...PARTIAL, 'ledger', 'prefix'] as const;
export type KeyName = (typeof KEY_NAMES)[number];

/** A header that names a key, or none that is valid. `~all~` and the other names stand for the texts of keys. */
export type Credential = {
  readonly key: KeyName;
  readonly isValid: boolean;
  /** The value of Authorization; null: there is none. */
  readonly header: string | null;
};

export type Keys = {
  readonly allowed: ReadonlyMap<KeyName, Allowed>;
  /** The texts that stand for the tokens in headers. */
  readonly texts: ReadonlyMap<string, string>;
};

/** Accounts of the fixtures that begin with it are some of all. */
const PREFIX = 'F';

/** Makes all keys, and waits until the service knows them. */
export async function makeKeys(service: { url: string }, database: TestDatabase, seed: number): Promise<Keys> {
  const draw = drawFrom(seed);
  const [ledger] = await database.query<{ id: number; name: string }>('select id, name from ledgers where name = $1', [
    FIXTURE_LEDGER,
  ]);
  if (!ledger) throw new Error('The ledger of the fixtures is missing.');
  const allowed = new Map<KeyName, Allowed>();
  const keys = new Map<KeyName, TestKey>();
  for (const name of KEY_NAMES) {
    const isPartial = PARTIAL.some((each) => each === name);
    const scopes: readonly Scope[] = isPartial ? SCOPES.filter(() => draw.whole(0, 1) === 1) : SCOPES;
    const [own, accountPrefix] = [name === 'ledger' ? ledger : null, name === 'prefix' ? PREFIX : null];
    keys.set(name, await makeKey(database, { scopes, ledger: own, limits: { accountPrefix } }));
    allowed.set(name, { scopes: new Set(scopes), ledger: own?.name ?? null, accountPrefix });
  }
  const revoked = await makeKey(database);
  const expired = await makeKey(database, { expiresIn: '-1 second' });
  await revoke(database, revoked);
  const texts = new Map([...keys].map(([name, { text }]): [string, string] => [`~${name}~`, text]));
  const all = texts.get('~all~') ?? '';
  const [, , ...secret] = all.split('_');
  texts.set('~truncated~', all.slice(0, -1));
  texts.set('~basic~', Buffer.from(`${all}:`).toString('base64'));
  texts.set('~revoked~', revoked.text);
  texts.set('~expired~', expired.text);
  texts.set('~foreign~', `gp_${keys.get('prefix')?.id}_${secret.join('_')}`);
  texts.set('~unknown~', `gp_000000000000_${secret.join('_')}`);
  for (const { headers } of keys.values()) await untilKnown(service, headers);
  return { allowed, texts };
}

async function untilKnown(service: { url: string }, headers: Record<string, string>): Promise<void> {
  const isKnown = async (): Promise<boolean> =>
    (await request(service, 'GET', '/accounts')).status === 401 &&
    (await request(service, 'GET', '/accounts', undefined, headers)).status !== 401;
  await until(isKnown, { what: 'the service to know its keys' });
}

const valid = fc
  .oneof(
    { withCrossShrink: true },
    { arbitrary: fc.constant<KeyName>('all'), weight: 3 },
    { arbitrary: fc.constantFrom(...KEY_NAMES), weight: 1 },
  )
  .map((key): Credential => ({ key, isValid: true, header: `Bearer ~${key}~` }));

/** Unusual, and still the key. */
const unusual = fc
  .constantFrom('bearer ~all~', 'BEARER   ~all~', 'Bearer ~all~ ', 'Basic ~basic~', 'basic  ~basic~')
  .map((header): Credential => ({ key: 'all', isValid: true, header }));

const invalid = fc
  .oneof(
    fc.constant(null),
    fc.constantFrom(
      '',
      'Bearer',
      '~all~',
      'Bearer~all~',
      'Bearer ~all~x',
      'Bearer ~all~ x',
      'Bearer ~all~, Bearer ~all~',
      'Bearer "~all~"',
      'Bearer ~truncated~',
      'Bearer ~foreign~',
      'Bearer ~unknown~',
      'Bearer ~revoked~',
      'Bearer ~expired~',
      'Bearer gp_',
      'Bearer gp__',
      'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.',
      'Basic',
      'Basic ~all~',
      'Basic ====',
      'Basic Og==',
      'Digest username="~all~"',
      'Negotiate ~all~',
      `Bearer ${'x'.repeat(9000)}`,
      `Bearer gp_${'x'.repeat(17_000)}`,
      `Basic ${'QUFB'.repeat(2000)}`,
      'Bearer \u00ff',
      'Bearer \u0000~all~',
      'Bearer ~all~\u0001',
      'Bearer\u000b~all~',
      '\u007fBearer ~all~',
    ),
    fc.stringMatching(/^[\u0020-\u007d\u0080-\u00ff]{1,60}$/),
  )
  .map((header): Credential => ({ key: 'all', isValid: false, header }));

const credential = fc.oneof(
  { withCrossShrink: true },
  { arbitrary: valid, weight: 10 },
  { arbitrary: unusual, weight: 1 },
  { arbitrary: invalid, weight: 3 },
);

/** The same cases with a key, or with an Authorization header that names none. */
export function withCredential(cases: fc.Arbitrary<Case>): fc.Arbitrary<Case> {
  return fc.tuple(cases, credential).map(([each, chosen]) => {
    const headers = each.headers.filter(([name]) => name.toLowerCase() !== 'authorization');
    const { header, isValid } = chosen;
    return {
      ...each,
      headers: header === null ? headers : [...headers, ['Authorization', header] as const],
      mutated: isValid ? each.mutated : [...each.mutated, 'authorization'],
      credential: chosen,
    };
  });
}
