// Which targets webhooks may have: a corpus of addresses, of their other spellings, and of names.
import assert from 'node:assert/strict';
import type { LookupAddress } from 'node:dns';
import { test } from 'node:test';
import { complainOfUrl, guardedLookup, isPublicAddress, TargetRefusedError } from '../../src/main/webhooks/target.ts';

const PUBLIC = ['1.1.1.1', '8.8.8.8', '11.0.0.1', '100.63.255.255', '100.128.0.1', '172.15.0.1', '172.32.0.1'];
const PUBLIC_IPV6 = ['2606:4700:4700::1111', '2001:4860:4860::8888', '2a00:1450:4001:80e::200e'];

const REFUSED = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '100.100.100.200',
  '127.0.0.1',
  '127.255.255.254',
  '168.63.129.16',
  '169.254.169.254',
  '169.254.170.2',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.192',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.250',
  '240.0.0.1',
  '255.255.255.255',
];

const REFUSED_IPV6 = [
  '::',
  '::1',
  '0:0:0:0:0:0:0:1',
  '::7f00:1',
  '::ffff:127.0.0.1',
  '::ffff:8.8.8.8',
  '::ffff:a9fe:a9fe',
  '64:ff9b::169.254.169.254',
  '64:ff9b::8.8.8.8',
  '64:ff9b:1::a00:1',
  '100::1',
  '2001::1',
  '2001:0:7f00:1::',
  '2001:db8::1',
  '2002:7f00:1::',
  '2002:a9fe:a9fe::1',
  '3fff::1',
  'fc00::1',
  'fd00:ec2::254',
  'fe80::1',
  'fe80::1%eth0',
  'fec0::1',
  'ff02::1',
  '5f00::1',
];

/** Hosts of URLs that are refused before any name is resolved. */
const REFUSED_HOSTS = [
  ...REFUSED,
  ...REFUSED_IPV6.filter((address) => !address.includes('%')).map((address) => `[${address}]`),
  '2130706433',
  '0x7f000001',
  '017700000001',
  '0x7f.1',
  '127.1',
  '0177.0.0.1',
  '127.0.0.1.',
  '0',
  '0x0',
  '3232235521',
  '0xa9fea9fe',
  '169.254.43518',
  '①②⑦.0.0.1',
  'localhost',
  'LOCALHOST',
  'localhost.',
  'api.localhost',
];

test('targets: addresses of the Internet are public, and no others', () => {
  for (const address of [...PUBLIC, ...PUBLIC_IPV6]) assert.equal(isPublicAddress(address), true, address);
  for (const address of [...REFUSED, ...REFUSED_IPV6, '', 'example.com', '1.2.3']) {
    assert.equal(isPublicAddress(address), false, address);
  }
});

test('targets: a URL with a private address is refused, however the address is written', () => {
  for (const host of REFUSED_HOSTS) {
    assert.match(String(complainOfUrl(`https://${host}/hook`, { allowPrivate: false })), /^must /, host);
  }
  for (const host of [...PUBLIC, ...PUBLIC_IPV6.map((address) => `[${address}]`), 'hooks.example.com', '134744072']) {
    assert.equal(complainOfUrl(`https://${host}:8443/hook?key=1`, { allowPrivate: false }), null, host);
  }
});

test('targets: private addresses and HTTP are allowed by the setting, credentials and fragments never', () => {
  for (const url of ['http://127.0.0.1:3000/', 'http://localhost', 'https://[::1]', 'http://10.0.0.1']) {
    assert.equal(complainOfUrl(url, { allowPrivate: true }), null, url);
  }
  for (const allowPrivate of [true, false]) {
    for (const url of [
      '',
      'hook',
      '/hook',
      '//example.com',
      'file:///etc/passwd',
      'gopher://example.com',
      'javascript:alert(1)',
      'https://user@example.com',
      'https://user:word@example.com',
      'https://example.com/#part',
      `https://example.com/${'x'.repeat(2048)}`,
    ]) {
      assert.match(String(complainOfUrl(url, { allowPrivate })), /^must /, url);
    }
  }
  assert.match(String(complainOfUrl('http://example.com', { allowPrivate: false })), /^must be an https URL$/);
});

type Looked = { error: Error | null; addresses: LookupAddress[] };

/** Looks a name up as a connection does. */
async function lookUp(answers: readonly string[][], allowPrivate = false): Promise<() => Promise<Looked>> {
  let index = 0;
  const resolve = async () => {
    const answer = answers[index] ?? [];
    index += 1;
    return answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  };
  const lookup = guardedLookup({ allowPrivate, resolve });
  return async () =>
    await new Promise((settle) => {
      lookup('hooks.example.com', { all: true }, (error, addresses) => {
        settle({ error, addresses: Array.isArray(addresses) ? addresses : [] });
      });
    });
}

test('targets: a name that leads to a private address is refused, also if another address is public', async () => {
  for (const addresses of [...REFUSED, ...REFUSED_IPV6].map((address) => [address])) {
    const { error } = await (await lookUp([addresses]))();
    assert.ok(error instanceof TargetRefusedError, addresses.join());
  }
  for (const addresses of [
    ['8.8.8.8', '127.0.0.1'],
    ['::1', '2606:4700:4700::1111'],
  ]) {
    assert.ok((await (await lookUp([addresses]))()).error instanceof TargetRefusedError);
  }
  assert.equal((await (await lookUp([['8.8.8.8', '1.1.1.1']]))()).addresses.length, 2);
  assert.ok((await (await lookUp([[]]))()).error instanceof Error);
  assert.equal((await (await lookUp([['127.0.0.1']], true))()).addresses.length, 1);
});

test('targets: a name that changes to a private address is refused from then on', async () => {
  const look = await lookUp([['8.8.8.8'], ['169.254.169.254'], ['1.1.1.1', '10.0.0.1']]);
  assert.deepEqual((await look()).addresses, [{ address: '8.8.8.8', family: 4 }]);
  assert.ok((await look()).error instanceof TargetRefusedError);
  assert.ok((await look()).error instanceof TargetRefusedError);
});
