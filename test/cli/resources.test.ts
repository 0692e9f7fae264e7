// The commands that call a running service: what they print, and how failures of the service end them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { makeKey } from '../support/keys.ts';
import { makeFolder, request, type Service, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

type Ended = { code: number | null; stdout: string; stderr: string };

let service: Service;

before(async (t) => {
  const database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '1' } });
});

/** Runs a command to its end. `url`: of the service, in the environment. */
async function run(t: Scope, args: string[], { url = service.url, env = {} } = {}): Promise<Ended> {
  const program = await startProgram(t, { args, env: { GOPHERPAY_URL: url, ...env } });
  const { code } = await program.exited;
  return { code, stdout: program.stdout(), stderr: program.output().replace(program.stdout(), '') };
}

async function readJson(t: Scope, args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await run(t, [...args, '--json']);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

test('resources: accounts are opened, listed, changed and closed', async (t) => {
  const opened = await run(t, ['accounts', 'open', 'ADA', '--name=Ada', '--balance=10.50', '--currency=USD']);
  assert.equal(opened.code, 0, opened.stderr);
  assert.match(opened.stdout, /^account_number {7}ADA\nname {17}Ada\n[^]*\nbalance +10\.50 USD\n/);
  const made = await readJson(t, ['accounts', 'open', '--name=Grace', '--metadata=team:navy,rank:1']);
  assert.deepEqual(made['metadata'], { team: 'navy', rank: '1' });
  const list = await run(t, ['accounts', 'list', '--metadata=team:navy']);
  assert.match(
    list.stdout,
    /^account_number +status +balance +available +held +name\nACC\d{12} +open +0\.00 USD +.*Grace\n$/,
  );
  const number = String(made['account_number']);
  assert.equal((await readJson(t, ['accounts', 'freeze', number]))['status'], 'frozen');
  assert.equal((await readJson(t, ['accounts', 'thaw', `--account=${number}`]))['status'], 'open');
  const updated = await readJson(t, ['accounts', 'update', number, '--overdraft-limit=5.00', '--name=Hopper']);
  assert.deepEqual([updated['overdraft_limit'], updated['name']], [500, 'Hopper']);
  const closed = await run(t, ['accounts', 'close', number]);
  assert.deepEqual(closed, { code: 0, stdout: '', stderr: `The account ${number} is closed.\n` });
  const entries = await run(t, ['accounts', 'entries', 'ADA']);
  assert.match(entries.stdout, /^entry_number +amount +balance .*\n +1 +10\.50 USD +10\.50 USD /);
});

test('resources: accounts are found by name', async (t) => {
  await readJson(t, ['accounts', 'open', 'KAY', '--name=Kay McNulty']);
  const { stdout } = await run(t, ['accounts', 'list', '--name=mcn', '--json']);
  assert.deepEqual([JSON.parse(stdout).account_number, stdout.split('\n').length], ['KAY', 2]);
});

test('resources: the test clock of a ledger is advanced, the real one is not', async (t) => {
  await readJson(t, ['ledgers', 'create', 'clocked', '--clock=manual', '--now=2026-01-01T00:00:00Z']);
  const advanced = await readJson(t, ['ledgers', 'advance', 'clocked', '--now=2026-02-01T00:00:00Z']);
  assert.deepEqual([advanced['clock'], advanced['now']], ['manual', '2026-02-01T00:00:00Z']);
  const refused = await run(t, ['ledgers', 'advance', 'main', '--now=2026-02-01T00:00:00Z']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /clock_is_real/);
});

test('resources: transfers and holds move money, and an amount is typed as it is printed', async (t) => {
  for (const name of ['PAYER', 'PAYEE']) {
    await readJson(t, ['accounts', 'open', name, `--name=${name}`, ...(name === 'PAYER' ? ['--balance=5000'] : [])]);
  }
  const between = ['--from-account=PAYER', '--to-account=PAYEE'];
  const moved = await readJson(t, ['transfers', 'create', ...between, '--amount=25.00', '--currency=USD']);
  assert.deepEqual([moved['status'], moved['amount']], ['completed', 2500]);
  const id = String(moved['id']);
  assert.equal((await readJson(t, ['transfers', 'reverse', id, '--amount=5.00']))['amount'], 500);
  const shown = await run(t, ['transfers', 'show', id]);
  assert.match(shown.stdout, /\namount +25\.00 USD\n/);
  const failed = await run(t, ['transfers', 'create', ...between, '--amount=9900']);
  assert.equal(failed.code, 1);
  assert.match(failed.stdout, /\nfailure_code +insufficient_funds\n/);
  assert.equal(failed.stderr, 'The transfer failed, and moved nothing: insufficient_funds.\n');
  const dry = await run(t, ['transfers', 'create', ...between, '--amount=9900', '--dry-run']);
  assert.equal(dry.stderr, 'It would fail: insufficient_funds.\n');

  const hold = await readJson(t, ['holds', 'create', ...between, '--amount=1000', '--expires-in=600']);
  const holdId = String(hold['id']);
  assert.equal((await readJson(t, ['holds', 'capture', holdId, '--amount=4.00']))['amount'], 400);
  assert.match((await run(t, ['holds', 'list', '--account=PAYER'])).stdout, / open .* 10\.00 USD +6\.00 USD /);
  await readJson(t, ['holds', 'void', holdId]);
  assert.equal((await readJson(t, ['holds', 'show', holdId]))['state'], 'voided');
});

test('resources: lists follow cursors up to --limit, and say how to go on', async (t) => {
  await readJson(t, ['ledgers', 'create', 'paged']);
  const accounts = Array.from({ length: 1003 }, (_, index) => ({ account_number: `P${index}`, name: 'Page' }));
  for (const part of [accounts.slice(0, 1000), accounts.slice(1000)]) {
    const answer = await request(service, 'POST', '/ledgers/paged/accounts', { accounts: part });
    assert.equal(answer.status, 201, answer.text);
  }
  const all = await run(t, ['accounts', 'list', '--ledger=paged', '--json', '--limit=5000']);
  assert.equal(all.stdout.trimEnd().split('\n').length, 1004, 'With @external.');
  assert.equal(all.stderr, '');
  const first = await run(t, ['accounts', 'list', '--ledger=paged', '--limit=1002', '--json']);
  const [, after = ''] = /^More follow: raise --limit, or add --after=(\S+)\n$/.exec(first.stderr) ?? [];
  const rest = await run(t, ['accounts', 'list', '--ledger=paged', `--after=${after}`, '--json']);
  assert.deepEqual(first.stdout + rest.stdout, all.stdout);
  const none = await run(t, ['transfers', 'list', '--ledger=paged']);
  assert.deepEqual(none, { code: 0, stdout: '', stderr: 'There are none in the ledger paged.\n' });
  const ledgers = await run(t, ['ledgers', 'list']);
  assert.match(ledgers.stdout, /\npaged +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ +real +-\n/);
});

test('resources: wrong arguments exit with 2 before anything is sent', async (t) => {
  const away = { url: 'http://127.0.0.1:1' };
  const cases: [string[], RegExp][] = [
    [['accounts'], /^A command is missing\.\n/],
    [['accounts', 'shwo'], /^There is no command "shwo"\.\n/],
    [['accounts', 'show'], /^The account is missing; see --help\.\n$/],
    [['accounts', 'show', 'A', 'B'], /^"B" is not an argument of this command; see --help\.\n$/],
    [['accounts', 'show', 'A', '--account=B'], /^Give the account as a word or with --account, not both\.\n$/],
    [['accounts', 'show', '../x'], /^The account is wrong: it must be an account number: 1 to 34 of /],
    [['accounts', 'list', '--stauts=open'], /^There is no option --stauts; see --help\.\n$/],
    [['accounts', 'list', '--status=opne'], /^The option --status is wrong: it must be open, /],
    [
      ['accounts', 'list', '--limit=0'],
      /^The option --limit is wrong: it must be a whole number from 1 to 1000000\.\n$/,
    ],
    [['accounts', 'list', '--limit=20000'], /^A table has at most 10000 rows: add --json, or lower --limit\.\n$/],
    [['accounts', 'open', '--balance=1'], /^Missing required argument: --name; see --help\.\n$/],
    [['accounts', 'open', '--name=A', '--balance=2.50'], /^The amount --balance=2\.50 needs --currency, /],
    [
      ['accounts', 'open', '--name=A', '--balance=2.5', '--currency=USD'],
      /2\.5 does not have the 2 decimals of USD\.\n$/,
    ],
    [
      ['accounts', 'open', '--name=A', '--balance=9007199254740993'],
      /must be at most 9007199254740991 minor units\.\n$/,
    ],
    [['accounts', 'open', '--name=A', '--name=B'], /^The option --name is given twice\.\n$/],
    [['accounts', 'update', 'A'], /^There is nothing to change; see --help\.\n$/],
    [['transfers', 'show', '1'], /^The id is wrong: it must be an id such as /],
    [['accounts', 'show', '..'], /the number of an account/],
    [['ledgers', 'list', '--ledger=main'], /^There is no option --ledger; see --help\.\n$/],
    [['status', '--url=ftp://x'], /^The option --url is wrong: it must be an http or https URL /],
    [['status', '--key=a', '--key-file=b'], /^Choose --key-file or --key, not both\.\n$/],
  ];
  for (const [args, sentence] of cases) {
    const { code, stdout, stderr } = await run(t, args, away);
    assert.match(stderr, sentence);
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' }, args.join(' '));
  }
});

test('resources: a problem is a sentence with its code and what to do next', async (t) => {
  const missing = await run(t, ['accounts', 'show', 'NOSUCH']);
  assert.equal(missing.code, 1);
  assert.match(
    missing.stderr,
    /^There is no account .* \(404, account_not_found, request \S+\)\n`gopherpay accounts list` shows /,
  );
  const ledger = await run(t, ['accounts', 'list'], { env: { GOPHERPAY_LEDGER: 'nosuch' } });
  assert.equal(ledger.code, 2);
  assert.match(
    ledger.stderr,
    /^There is no ledger nosuch\. \(404, ledger_not_found, .*\)\n`gopherpay ledgers list` shows /,
  );
  const invalid = await run(t, ['accounts', 'open', '--name=A', '--email=nonsense']);
  assert.equal(invalid.code, 2);
  assert.match(
    invalid.stderr,
    /^The request is not valid\. \(400, invalid_request, .*\)\n {2}\/email: `email` must be /,
  );
});

test('resources: the key comes from the environment, a file or an option, and a refused one names its source', async (t) => {
  const database = await createDatabase(t);
  const { url } = await startService(t, { database, env: { THREADS: '1' } });
  const key = await makeKey(database, { scopes: ['accounts:read'] });
  await until(async () => (await request({ url }, 'GET', '/accounts')).status === 401, { what: 'the first key' });
  const without = await run(t, ['accounts', 'list'], { url });
  assert.equal(without.code, 1);
  assert.match(
    without.stderr,
    /\(401, unauthorized, .*\)\nSet GOPHERPAY_KEY to a key, or name a file that has one with /,
  );
  const path = join(await makeFolder(t), 'cli.key');
  await writeFile(path, `${key.text}\n`);
  for (const options of [{ args: [`--key-file=${path}`] }, { args: [`--key=${key.text}`] }]) {
    const { code, stderr } = await run(t, ['accounts', 'list', ...options.args], { url });
    assert.equal(code, 0, stderr);
  }
  const env = { GOPHERPAY_KEY: key.text };
  assert.equal((await run(t, ['accounts', 'list'], { url, env })).code, 0);
  const narrow = await run(t, ['accounts', 'open', '--name=A'], { url, env });
  assert.match(
    narrow.stderr,
    /\(403, insufficient_scope, .*\)\n`gopherpay keys create --scopes=accounts:write` makes /,
  );
  const unknown = await run(t, ['accounts', 'list'], { url, env: { GOPHERPAY_KEY: `${key.text.slice(0, -1)}_` } });
  assert.match(
    unknown.stderr,
    /\nThe key is from GOPHERPAY_KEY; `gopherpay keys list` shows which keys are valid\.\n$/,
  );
  assert.ok(!(narrow.stderr + unknown.stderr).includes(key.text.slice(20)), 'No secret is printed.');
});

test('resources: a service out of reach exits with 4, and a change names its idempotency key', async (t) => {
  const url = 'http://127.0.0.1:1';
  const read = await run(t, ['accounts', 'list'], { url });
  assert.equal(read.code, 4);
  assert.match(read.stderr, /^The service at http:\/\/127\.0\.0\.1:1 is out of reach \(.*ECONNREFUSED.*\): [^\n]*\n$/);
  const change = await run(t, ['ledgers', 'create', 'x', '--idempotency-key=mine-1'], { url });
  assert.equal(change.code, 4);
  assert.match(change.stderr, /\nTo repeat it without a second effect, add --idempotency-key=mine-1\n$/);
});

test('resources: a busy service is asked again after Retry-After, with the same idempotency key', async (t) => {
  const keys: unknown[] = [];
  const url = await startFake(t, ({ headers }, response) => {
    keys.push(headers['idempotency-key']);
    if (keys.length === 1) answer(response, 429, problemOf('queue_full'), { 'retry-after': '1' });
    else if (keys.length === 2) response.destroy();
    else answer(response, 201, { object: 'ledger', name: 'x\u001b[2J\u009b', 'y\u001b[2J': 1, created_at: 'now' });
  });
  const { code, stdout, stderr } = await run(t, ['ledgers', 'create', 'x'], { url });
  assert.equal(code, 0, stderr);
  assert.equal(
    stdout,
    'name        x\\u001b[2J\\u009b\ny\\u001b[2J  1\ncreated_at  now\n',
    'Control characters are shown, not sent.',
  );
  assert.equal(keys.length, 3);
  assert.deepEqual(new Set(keys).size, 1, 'One key.');
  assert.match(String(keys[0]), /^[0-9a-f-]{36}$/);
});

test('resources: a service that stays busy ends the command with advice', async (t) => {
  const url = await startFake(t, (_, response) => {
    answer(response, 429, problemOf('queue_full'), { 'retry-after': '60' });
  });
  const { code, stderr } = await run(t, ['ledgers', 'create', 'x'], { url });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^Later\. \(429, queue_full\)\nTry again in 60 s\.\nTo repeat it .* add --idempotency-key=[0-9a-f-]{36}\n$/,
  );
});

test('resources: another server at the URL is recognized', async (t) => {
  const url = await startFake(t, (_, response) => void response.writeHead(404).end('<html>'));
  for (const args of [['accounts', 'list'], ['status']]) {
    const { code, stderr } = await run(t, args, { url });
    assert.equal(code, 1);
    assert.match(stderr, /does not answer as GopherPay does \(.*404\): check --url\.\n$/);
  }
});

test('resources: status shows readiness, version, queue and latency, and its exit code is that of the service', async (t) => {
  const { code, stdout } = await run(t, ['status', '--json']);
  assert.equal(code, 0);
  const { latency_ms: latency, version, ...others } = JSON.parse(stdout);
  assert.ok(latency >= 0);
  assert.match(version, /^\d+\.\d+\.\d+$/);
  const expected = { url: service.url, ready: true, failing: null, database_reachable: true, queue: 0 };
  assert.deepEqual(others, expected);
  const url = await startFake(t, (message, response) => {
    if (message.url === '/healthz') answer(response, 200, { status: 'alive' });
    else answer(response, 503, { ...problemOf('not_ready'), failing: ['intake', 'reads'] });
  });
  const away = await run(t, ['status'], { url });
  assert.equal(away.code, 4);
  assert.match(away.stdout, /\nready +false\nfailing +intake, reads\ndatabase_reachable +false\n/);
  assert.match(away.stderr, /is not ready\.\n$/);
});

test('resources: events are printed one a line, and followed across a restart of the service', async (t) => {
  const database = await createDatabase(t);
  const first = await startService(t, { database, env: { THREADS: '1' } });
  const port = new URL(first.url).port;
  const open = async (number: string) => {
    const body = { account_number: number, name: 'A', balance: 700 };
    assert.equal((await request(first, 'POST', '/accounts', body)).status, 201);
  };
  await open('ONE');
  const listed = await run(t, ['events', '--types=transfer.completed'], first);
  assert.match(listed.stdout, /^1 {2}\S+Z {2}transfer\.completed {2}@external → ONE {2}7\.00 USD {2}[0-9a-f-]{36}\n$/);
  const follower = await startProgram(t, { args: ['events', '--follow', '--after=0', '--json', `--url=${first.url}`] });
  await until(() => follower.stdout().split('\n').length === 2, { what: 'the first event' });
  await first.stop();
  await until(() => follower.output().includes('out of reach'), { what: 'the lost connection' });
  await startService(t, { database, env: { THREADS: '1', PORT: port } });
  await until(() => follower.output().includes('is back'), { what: 'the connection' });
  await open('TWO');
  await until(() => follower.stdout().split('\n').length === 3, { what: 'the second event' });
  const numbers = follower
    .stdout()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).journal_number);
  assert.deepEqual(numbers, [1, 2]);
  assert.equal((await follower.stop()).code, 128 + 15);
});

function problemOf(code: string): Record<string, unknown> {
  return { code, detail: 'Later.' };
}

function answer(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

/** Starts a server that answers as `handle` says, and returns its URL. */
async function startFake(
  t: Scope,
  handle: (message: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer((message, response) => {
    message.resume();
    handle(message, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onEnd(t, () => void server.close());
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return `http://127.0.0.1:${address.port}`;
}
