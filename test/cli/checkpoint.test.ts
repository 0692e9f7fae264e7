// gopherpay checkpoint: signed heads of the journals, verified offline, by openssl as well, and what an audit finds with
// them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { chmod, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { z } from 'zod';
import { readVerified, type SignedCheckpoint } from '../../src/cli/signature.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { JOURNAL_ROWS, rewriteShop, SHOP, writeLedger } from '../support/sample-ledgers.ts';
import { awaitFinal, makeFolder, request, startProgram, startService } from '../support/service.ts';

type Ran = { code: number | null; stdout: string; stderr: string };

const NO_HASH = '0'.repeat(64);
/** No database answers here: what succeeds with it needs none. */
const NOWHERE = { url: 'postgresql://test@127.0.0.1:1/nothing' };
const { status: opensslStatus } = spawnSync('openssl', ['version']);

/** The ledgers main and shop, with JOURNAL_ROWS rows each, and the empty ledger idle. */
let database: TestDatabase;
let folder: string;
let key: string;
let publicKey: string;

before(async (scope) => {
  database = await createDatabase(scope);
  const client = await database.connect();
  await writeLedger(client);
  await writeLedger(client, SHOP);
  await client.query(`insert into ledgers (id, name) values (3, 'idle')`);
  await client.query('insert into journal_head (ledger_id) values (3)');
  folder = await makeFolder(scope);
  key = join(folder, 'ed25519.pem');
  publicKey = `${key}.pub`;
  const pair = generateKeyPairSync('ed25519');
  await writeFile(key, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  await writeFile(publicKey, pair.publicKey.export({ type: 'spki', format: 'pem' }));
});

async function run(t: TestContext, args: string[], on: { url: string } = database): Promise<Ran> {
  const program = await startProgram(t, { database: on, args });
  const { code } = await program.exited;
  const stdout = program.stdout();
  // Only one of the two has text, or standard error follows.
  return { code, stdout, stderr: program.output().replace(stdout, '') };
}

async function sign(t: TestContext, on: { url: string } = database, ...options: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(t, ['checkpoint', `--private-key=${key}`, ...options], on);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  return stdout;
}

async function save(t: TestContext, text: string): Promise<string> {
  const file = join(await makeFolder(t), 'checkpoints.jsonl');
  await writeFile(file, text);
  return file;
}

const checkpointSchema = z.looseObject({
  ledger: z.string(),
  journal_number: z.number(),
  journal_hash: z.string(),
  settled_at: z.string().nullable(),
  signed_at: z.string(),
  signature: z.string(),
});

function parse(text: string): z.output<typeof checkpointSchema>[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => checkpointSchema.parse(JSON.parse(line)));
}

test('checkpoint: signs the head of every ledger, in order of name, an empty one too', async (t) => {
  const lines = parse(await sign(t));
  const stored = await database.query<{ ledger: string; hash: string; settled_at: string }>(
    `select name as ledger, encode(hash, 'hex') as hash,
       to_char(settled_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as settled_at
     from journal join ledgers on id = ledger_id where number = ${JOURNAL_ROWS} order by name`,
  );
  const keyId = sha256(createPublicKey(await readFile(publicKey)).export({ type: 'spki', format: 'der' }));
  assert.deepEqual(
    lines.map(({ signed_at: signedAt, signature, ...line }) => {
      assert.match(signedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.match(signature, /^[A-Za-z0-9+/]{86}==$/);
      return line;
    }),
    [{ ledger: 'idle', hash: NO_HASH, settled_at: null }, ...stored].map(({ ledger, hash, settled_at }) => ({
      type: 'checkpoint',
      ledger,
      journal_number: ledger === 'idle' ? 0 : JOURNAL_ROWS,
      journal_hash: hash,
      settled_at,
      ledgers: 3,
      key_id: keyId,
    })),
  );
});

test('checkpoint: --ledger signs one head, and an unknown ledger exits with 2', async (t) => {
  const [line, ...others] = parse(await sign(t, database, '--ledger=shop'));
  assert.deepEqual([line?.ledger, line?.['ledgers'], others], ['shop', 1, []]);
  assert.deepEqual(await run(t, ['checkpoint', `--private-key=${key}`, '--ledger=none']), {
    code: 2,
    stdout: '',
    stderr: 'There is no ledger "none"; the ledgers are idle, main, shop.\n',
  });
});

test('checkpoint: --verify accepts what was signed, without a database', async (t) => {
  const text = await sign(t);
  const file = await save(t, text + (await sign(t, database, '--ledger=main')));
  const { code, stdout, stderr } = await run(
    t,
    ['checkpoint', `--verify=${file}`, `--public-key=${publicKey}`],
    NOWHERE,
  );
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  const lines = parse(await readFile(file, 'utf8'));
  assert.equal(
    stdout,
    lines
      .map(
        ({ ledger, journal_number: number, journal_hash: hash, signed_at: at }) =>
          `ledger ${ledger}, journal ${number} sha256:${hash} signed at ${at}\n`,
      )
      .join(''),
  );
});

test('checkpoint: --verify finds a change of each field, and exits with 3', async (t) => {
  const text = await sign(t);
  const line = parse(text).find(({ ledger }) => ledger === 'main');
  assert.ok(line);
  const changes: Partial<Record<keyof SignedCheckpoint, unknown>> = {
    type: 'summary',
    ledger: 'shop',
    journal_number: JOURNAL_ROWS - 1,
    journal_hash: line.journal_hash.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
    settled_at: '2026-01-31T00:00:00.000000Z',
    signed_at: '2026-01-31T00:00:00.000Z',
    ledgers: 1,
    key_id: NO_HASH,
    signature: `${line.signature.slice(0, 80)}${line.signature[80] === 'A' ? 'B' : 'A'}${line.signature.slice(81)}`,
  };
  assert.deepEqual(Object.keys(changes).toSorted(), Object.keys(line).toSorted());
  const pem = createPublicKey(await readFile(publicKey));
  for (const [field, value] of Object.entries(changes)) {
    const file = await save(t, `${JSON.stringify({ ...line, [field]: value })}\n`);
    await assert.rejects(
      readVerified(file, pem),
      {
        exitCode: 3,
        message: /^Line 1 of \S+ (is not a checkpoint|is signed with the key 0+, not|has a wrong signature)/,
      },
      field,
    );
  }
  const forged = await save(
    t,
    text.replace(`"journal_number":${JOURNAL_ROWS}`, `"journal_number":${JOURNAL_ROWS - 1}`),
  );
  const ran = await run(t, ['checkpoint', `--verify=${forged}`, `--public-key=${publicKey}`], NOWHERE);
  assert.deepEqual(ran, { code: 3, stdout: '', stderr: `Line 2 of ${forged} has a wrong signature.\n` });
});

test('checkpoint: --verify finds lines that are missing, damaged, or no checkpoints', async (t) => {
  const text = await sign(t);
  const [first = '', second = ''] = text.split('\n');
  const pem = createPublicKey(await readFile(publicKey));
  const damaged: { text: string; message: RegExp }[] = [
    { text: text.slice(0, -20), message: /^Line 3 of \S+ is not a checkpoint\.$/ },
    { text: `${first}\n${second}\n`, message: /has 2 of the 3 checkpoints signed at \S+\.$/ },
    { text: `${first}\n${second}\n${second}\n`, message: /has 2 of the 3 checkpoints/ },
    { text: '', message: /^Line 1 of \S+ is not a checkpoint\.$/ },
    { text: '{"type":"summary","journals":[]}', message: /^Line 1 of \S+ is not a checkpoint\.$/ },
    { text: first.replace('{', '{"audited":true,'), message: /^Line 1 of \S+ is not a checkpoint\.$/ },
    { text: first.replace('=="', '="'), message: /^Line 1 of \S+ is not a checkpoint\.$/ },
  ];
  for (const { text, message } of damaged) {
    await assert.rejects(readVerified(await save(t, text), pem), { exitCode: 3, message }, text);
  }
  const another = generateKeyPairSync('ed25519').publicKey;
  await assert.rejects(readVerified(await save(t, text), another), {
    exitCode: 3,
    message: /^Line 1 of \S+ is signed with the key [0-9a-f]{64}, not [0-9a-f]{64}\.$/,
  });
});

test('checkpoint: --new-key creates a key pair that only its owner reads, and replaces nothing', async (t) => {
  const own = await makeFolder(t);
  const file = join(own, 'signing.pem');
  const made = await run(t, ['checkpoint', `--new-key=${file}`], NOWHERE);
  assert.equal(made.code, 0, made.stderr);
  assert.equal(made.stdout, await readFile(`${file}.pub`, 'utf8'));
  assert.equal((await stat(file)).mode % 0o1000, 0o600);
  const { stdout } = await run(t, ['checkpoint', `--private-key=${file}`, '--ledger=main']);
  assert.equal((await readVerified(await save(t, stdout), createPublicKey(made.stdout))).length, 1);

  const again = await run(t, ['checkpoint', `--new-key=${file}`], NOWHERE);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /signing\.pem cannot be created \(EEXIST/);
  await symlink(join(own, 'elsewhere'), join(own, 'link.pem'));
  const linked = await run(t, ['checkpoint', `--new-key=${join(own, 'link.pem')}`], NOWHERE);
  assert.match(linked.stderr, /link\.pem cannot be created \(EEXIST/);
  await writeFile(join(own, 'half.pem.pub'), '');
  const half = await run(t, ['checkpoint', `--new-key=${join(own, 'half.pem')}`], NOWHERE);
  assert.match(half.stderr, /half\.pem\.pub cannot be created \(EEXIST/);
  assert.deepEqual((await readdir(own)).toSorted(), ['half.pem.pub', 'link.pem', 'signing.pem', 'signing.pem.pub']);
});

test('checkpoint: refuses keys of other types, open files, and wrong options with 2', async (t) => {
  const own = await makeFolder(t);
  const write = async (name: string, text: string | Buffer, mode = 0o600): Promise<string> => {
    await writeFile(join(own, name), text, { mode });
    await chmod(join(own, name), mode);
    return join(own, name);
  };
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const x25519 = generateKeyPairSync('x25519');
  const rsaKey = await write('rsa', rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const rsaPublic = await write('rsa.pub', rsa.publicKey.export({ type: 'spki', format: 'pem' }));
  const xKey = await write('x25519', x25519.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const xPublic = await write('x25519.pub', x25519.publicKey.export({ type: 'spki', format: 'pem' }));
  const open = await write('open', await readFile(key), 0o640);
  const checkpoints = await save(t, '');
  const wrongly: { options: string[]; sentence: RegExp }[] = [
    { options: [`--private-key=${rsaKey}`], sentence: /rsa is a key of type RSA: a checkpoint needs Ed25519\.\n$/ },
    { options: [`--private-key=${xKey}`], sentence: /x25519 is a key of type X25519: a checkpoint needs Ed25519\.\n$/ },
    { options: [`--private-key=${open}`], sentence: /open is open to other users: allow only its owner \(chmod 600 / },
    { options: [`--private-key=${rsaPublic}`], sentence: /rsa\.pub is not a private key in PEM/ },
    { options: ['--private-key=/nowhere'], sentence: /^\/nowhere cannot be read \(ENOENT/ },
    { options: ['--private-key='], sentence: /^The option --private-key is wrong: it must be a file\.\n$/ },
    {
      options: [`--verify=${checkpoints}`, `--public-key=${rsaPublic}`],
      sentence: /rsa\.pub is a key of type RSA: a checkpoint needs Ed25519\.\n$/,
    },
    { options: [`--verify=${checkpoints}`, `--public-key=${xPublic}`], sentence: /is a key of type X25519/ },
    {
      options: [`--verify=${checkpoints}`, `--public-key=${key}`],
      sentence: /ed25519\.pem is not a public key in PEM/,
    },
    { options: ['--verify=/nowhere', `--public-key=${publicKey}`], sentence: /^\/nowhere cannot be read \(ENOENT/ },
    { options: [`--verify=${checkpoints}`], sentence: /^Give --private-key=FILE/ },
    { options: [`--private-key=${key}`, `--new-key=${join(own, 'new')}`], sentence: /^Give --private-key=FILE/ },
    { options: [`--private-key=${key}`, `--public-key=${publicKey}`], sentence: /^Give --private-key=FILE/ },
    { options: ['--ledger=main'], sentence: /^Give --private-key=FILE/ },
    { options: [], sentence: /^Give --private-key=FILE/ },
    { options: ['--keys=x'], sentence: /^There is no option --keys; see --help\.\n$/ },
  ];
  for (const { options, sentence } of wrongly) {
    const { code, stdout, stderr } = await run(t, ['checkpoint', ...options], NOWHERE);
    assert.match(stderr, sentence);
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' }, options.join(' '));
  }
});

const flaws: { what: string; statement: string; sentence: string }[] = [
  {
    what: 'a last row with a changed field',
    statement: `update journal set transfer_count = transfer_count + 1 where ledger_id = 2 and number = ${JOURNAL_ROWS}`,
    sentence: `the hash of row ${JOURNAL_ROWS} of the journal does not follow from its fields.`,
  },
  {
    what: 'a last row that does not follow the row before',
    statement: `update journal set hash = previous_hash where ledger_id = 2 and number = ${JOURNAL_ROWS - 1}`,
    sentence: `row ${JOURNAL_ROWS} of the journal does not follow the row before.`,
  },
  {
    what: 'a ledger without a head',
    statement: 'delete from journal_head where ledger_id = 2',
    sentence: 'the journal has no head.',
  },
];

for (const { what, statement, sentence } of flaws) {
  test(`checkpoint: signs nothing for ${what}, and exits with 3`, async (t) => {
    const own = await createDatabase(t);
    const client = await own.connect();
    await writeLedger(client);
    await writeLedger(client, SHOP);
    await client.query('set session_replication_role = replica');
    await client.query(statement);
    const { code, stdout, stderr } = await run(t, ['checkpoint', `--private-key=${key}`], own);
    assert.deepEqual({ code, stdout }, { code: 3, stdout: '' });
    assert.equal(stderr, `Nothing is signed, because the ledger shop is not whole: ${sentence} Run gopherpay audit.\n`);
  });
}

test('checkpoint: an audit of grown books accepts an earlier checkpoint', async (t) => {
  const own = await createDatabase(t);
  const service = await startService(t, { database: own, env: { THREADS: '1' } });
  await request(service, 'POST', '/accounts', { account_number: 'ADA', name: 'Ada', balance: 100 });
  await request(service, 'POST', '/accounts', { account_number: 'BOB', name: 'Bob' });
  const file = await save(t, await sign(t, own));
  const { body } = await request<{ id: string }>(service, 'POST', '/transfers', {
    from_account: 'ADA',
    to_account: 'BOB',
    amount: 1,
  });
  await awaitFinal(service, body.id);
  const expect = ['audit', `--expect=@${file}`];
  for (const options of [expect, [...expect, `--public-key=${publicKey}`]]) {
    const ran = await run(t, options, own);
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    assert.match(ran.stdout, /^journal\.expected +1 +0$/m);
  }
});

test('checkpoint: an audit finds history that was rewritten with all its hashes', async (t) => {
  const own = await createDatabase(t);
  const client = await own.connect();
  await writeLedger(client);
  await writeLedger(client, SHOP);
  const file = await save(t, await sign(t, own));
  await rewriteShop(client);
  const [blind, found, main] = await Promise.all([
    run(t, ['audit'], own),
    run(t, ['audit', `--expect=@${file}`, `--public-key=${publicKey}`], own),
    run(t, ['audit', `--expect=@${file}`, `--public-key=${publicKey}`, '--ledger=main'], own),
  ]);
  assert.equal(blind.code, 0, blind.stdout);
  assert.equal(found.code, 3);
  assert.ok(
    found.stdout.includes(`journal.expected: ledger shop, journal ${JOURNAL_ROWS}: hash written down: expected`),
  );
  assert.equal(main.code, 0, main.stdout);
  // The rewritten books have a checkpoint of their own, but not with the former key.
  const forged = await save(t, (await sign(t, own)).replaceAll(/"key_id":"\w+"/g, `"key_id":"${NO_HASH}"`));
  const refused = await run(t, ['audit', `--expect=@${forged}`, `--public-key=${publicKey}`], own);
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /^Line 1 of \S+ is signed with the key 0{64}, not/);
});

test('checkpoint: an audit with --public-key accepts no unsigned file, and needs a file', async (t) => {
  const summary = await run(t, ['audit', '--json']);
  const file = await save(t, summary.stdout.trimEnd().split('\n').at(-1) ?? '');
  const [unsigned, number, missing, cut] = await Promise.all([
    run(t, ['audit', `--expect=@${file}`, `--public-key=${publicKey}`], NOWHERE),
    run(t, ['audit', `--expect=20:${NO_HASH}`, `--public-key=${publicKey}`], NOWHERE),
    run(t, ['audit', `--expect=@${file}`, '--public-key=/nowhere'], NOWHERE),
    run(t, ['audit', `--expect=@${await save(t, (await sign(t)).slice(0, -20))}`], NOWHERE),
  ]);
  assert.deepEqual(unsigned, { code: 3, stdout: '', stderr: `Line 1 of ${file} is not a checkpoint.\n` });
  assert.deepEqual(number, { code: 2, stdout: '', stderr: 'The option --public-key needs --expect=@FILE.\n' });
  assert.deepEqual([missing.code, missing.stdout], [2, '']);
  assert.deepEqual([cut.code, cut.stdout], [2, '']);
  assert.match(cut.stderr, /does not end with the summary of an audit \(--json\), and has no checkpoints\.\n$/);
});

test(
  'checkpoint: openssl verifies a signature as the document describes',
  { skip: opensslStatus === 0 ? false : 'openssl is not installed' },
  async (t) => {
    const document = await readFile(new URL('../../docs/AUDIT.md', import.meta.url), 'utf8');
    const [extract = ''] = /^node -e .*checkpoint\.txt.*$/m.exec(document) ?? [];
    const [verify = ''] = /^openssl pkeyutl -verify .*$/m.exec(document) ?? [];
    const own = await makeFolder(t);
    await writeFile(join(own, 'checkpoints.jsonl'), await sign(t));
    await writeFile(join(own, 'signing.pem.pub'), await readFile(publicKey));
    const shell = (script: string) =>
      spawnSync('bash', ['-c', `set -e\n${script}`], { cwd: own, encoding: 'utf8', timeout: 30_000 });
    const good = shell(`${extract}\n${verify}`);
    assert.equal(good.status, 0, good.stdout + good.stderr);
    assert.match(good.stdout, /Signature Verified Successfully/);
    assert.notEqual(shell(`echo more >> checkpoint.txt\n${verify}`).status, 0);
  },
);

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
