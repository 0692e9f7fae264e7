// No secret of the settings is in an output, an answer, a report of a crash, or the environment of another program. Each test
// plants a password and searches for it.
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { AUTHORITY, STRANGER } from '../support/certificates.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase } from '../support/database.ts';
import { startFakePostgres } from '../support/fake-postgres.ts';
import { findPostmaster } from '../support/postgres.ts';
import { makeFolder, type ProgramOptions, request, startProgram, startService } from '../support/service.ts';
import { startAttacker, startTlsPostgres } from '../support/tls-postgres.ts';
import { until } from '../support/until.ts';

const SECRET = 'Canary4711';
const TRACE = { LOG_LEVEL: 'trace', PORT: '0', THREADS: '1', DB_CONNECT_TIMEOUT_MS: '2000' };

/** The settings with which a start fails. */
const FAILING: Record<string, (t: TestContext) => Promise<Record<string, string>>> = {
  'a password that the database refuses': async (t) => {
    const refusal = { code: '28P01', message: 'password authentication failed for user "ada"' };
    return { DATABASE_URL: withSecret(await startFakePostgres(t, { refusal })) };
  },
  'a database that asks for the password in clear text': async (t) => {
    const { port } = await startAttacker(t);
    return { DB_HOST: '127.0.0.1', DB_PORT: String(port), DB_PASSWORD: SECRET };
  },
  'a database whose certificate is refused': async (t) => {
    const port = await startTlsPostgres(t, await createDatabase(t), 'server');
    return { DATABASE_URL: `postgres://ada:${SECRET}@127.0.0.1:${port}/b?sslmode=require&sslrootcert=${STRANGER}` };
  },
  'a certificate for another host': async (t) => {
    const port = await startTlsPostgres(t, await createDatabase(t), 'elsewhere');
    return { DATABASE_URL: `postgres://ada:${SECRET}@127.0.0.1:${port}/b?sslmode=require&sslrootcert=${AUTHORITY}` };
  },
  'a host that does not exist': async () => ({ DATABASE_URL: `postgres://ada:${SECRET}@nowhere.invalid/books` }),
  'a closed port': async () => ({ DB_HOST: '127.0.0.1', DB_PORT: '1', DB_PASSWORD: SECRET }),
  'a wrong setting beside it': async () => ({ DB_HOST: 'localhost', DB_PASSWORD: SECRET, HEARTBEAT_MS: '1' }),
  ...Object.fromEntries(
    [
      `mysql://ada:${SECRET}@localhost/books`,
      `postgres://ada:${SECRET}/x@localhost/books`,
      `postgres://ada:12/${SECRET}@localhost/books`,
      `postgres://ada:12#${SECRET}@localhost/books`,
      `postgres://ada:${SECRET}%ZZ@localhost/books`,
      `postgres://ada:${SECRET}@localhost:99999/books`,
      `postgres://ada:${SECRET}@[::1/books`,
      `postgres://ada:${SECRET}@localhost/books?sslmode=prefer`,
      `postgres://ada:${SECRET}@localhost/books?schema=pay`,
    ].map((url) => [`the URL ${url.replace(SECRET, 'SECRET')}`, async () => ({ DATABASE_URL: url })]),
  ),
};

function withSecret(url: string): string {
  const changed = new URL(url);
  changed.username ||= 'ada';
  changed.password = SECRET;
  return changed.href;
}

for (const [what, makeEnv] of Object.entries(FAILING)) {
  test(`secrets: no command shows the password after ${what}`, async (t) => {
    const env = { ...TRACE, ...(await makeEnv(t)) };
    for (const args of [['serve'], ['audit'], ['report', '--account=ANN']]) {
      const sentence = await failingOutput(t, { args, env });
      assert.match(sentence, /^[A-Z][^\n]+\.\n$/, `${args.join(' ')} ends with one sentence.`);
    }
  });
}

for (const line of [`DB_PASSWORD: ${SECRET}`, `DB_PASWORD=${SECRET}`, `DB_SECRET=${SECRET}`]) {
  test(`secrets: no command shows the line ${line.replace(SECRET, 'SECRET')} of a .env`, async (t) => {
    const folder = await makeFolder(t);
    await writeFile(join(folder, '.env'), `${line}\n`, { mode: 0o600 });
    await failingOutput(t, { args: ['serve'], env: TRACE, folder });
  });
}

test('secrets: a .env that other users can read stops the start', async (t) => {
  const folder = await makeFolder(t);
  await writeFile(join(folder, '.env'), `DB_HOST=localhost\nDB_PASSWORD=${SECRET}\n`, { mode: 0o644 });
  const sentence = await failingOutput(t, { args: ['serve'], env: TRACE, folder });
  assert.match(sentence, /^The file \.env has DB_PASSWORD, and other users can read it: /);
});

/** The last line of what a command prints that must fail; nothing that it prints has the secret. */
async function failingOutput(t: TestContext, options: ProgramOptions): Promise<string> {
  const program = await startProgram(t, options);
  const { code } = await program.exited;
  assert.ok(code !== 0 && code !== null, program.output());
  assert.ok(!program.output().includes(SECRET), program.output());
  return program.output().replace(/^\{.*\n/gm, '');
}

test('secrets: neither errors of statements nor a report of Node show the password of a running service', async (t) => {
  const database = await createDatabase(t);
  const folder = await makeFolder(t);
  const file = join(folder, 'url');
  const url = new URL(withSecret(database.url));
  // A role with the secret as its password, and the rights of the service.
  url.username = `secret_${database.name}`;
  await database.query(`create role ${url.username} login password '${SECRET}' in role ${database.settings.user}`);
  onEnd(t, async () => void (await database.query(`drop role ${url.username}`)));
  await writeFile(file, `${url.href}\n`, { mode: 0o600 });
  const env = { ...TRACE, NODE_OPTIONS: `--report-on-signal --report-signal=SIGWINCH --report-directory=${folder}` };
  const fromFile = await startService(t, { folder, env: { ...env, DATABASE_URL_FILE: file } });
  const fromEnvironment = await startService(t, { env: { ...env, DATABASE_URL: url.href } });
  const answers: string[] = [];
  for (const [index, service] of [fromFile, fromEnvironment].entries()) {
    // The thread has loaded once it has settled the opening balance.
    const account = { account_number: `ANN${index}`, name: 'Ann', balance: 700 };
    assert.equal((await request(service, 'POST', '/accounts', account)).status, 201);
    process.kill(service.pid, 'SIGWINCH');
  }
  const reports = async (): Promise<string[]> => (await readdir(folder)).filter((name) => name.startsWith('report'));
  const isWhole = async (name: string): Promise<boolean> =>
    (await readFile(join(folder, name), 'utf8')).endsWith('}\n');
  await until(
    async () => {
      const found = await reports();
      return found.length === 2 && (await Promise.all(found.map(isWhole))).every(Boolean);
    },
    { what: 'the reports' },
  );
  for (const name of await reports()) assert.ok(!(await readFile(join(folder, name), 'utf8')).includes(SECRET), name);
  await database.query('alter table accounts rename to elsewhere');
  for (const service of [fromFile, fromEnvironment]) {
    for (const path of ['/accounts', '/accounts/ANN0', '/nowhere', '/metrics', '/readyz', '/openapi.json'])
      answers.push((await request(service, 'GET', path)).text);
    const account = { account_number: 'ANN', name: 'Ann', balance: 700 };
    answers.push((await request(service, 'POST', '/accounts', account)).text);
  }
  await database.query('alter table elsewhere rename to accounts');
  assert.ok(!answers.join('\n').includes(SECRET));
  for (const name of ['cmdline', 'environ'])
    assert.ok(!(await readFile(`/proc/${fromFile.pid}/${name}`, 'utf8')).includes(SECRET), name);
  assert.ok(!(await readFile(`/proc/${fromEnvironment.pid}/cmdline`, 'utf8')).includes(SECRET));
  for (const service of [fromFile, fromEnvironment]) {
    assert.deepEqual(await service.stop(), { code: 0, signal: null }, service.output());
    assert.ok(
      service.logs().some(({ level }) => Number(level) >= 40),
      'The errors are in the log.',
    );
    assert.ok(!service.output().includes(SECRET), service.output());
  }
});

test('secrets: the embedded server inherits nothing of the environment', async (t) => {
  const folder = await makeFolder(t);
  const service = await startService(t, { folder, env: { ...TRACE, CLOUD_TOKEN: SECRET } });
  const postmaster = await findPostmaster(join(folder, '.gopherpay'));
  assert.ok(postmaster !== null);
  assert.match(await readFile(`/proc/${service.pid}/environ`, 'utf8'), new RegExp(SECRET));
  const environments = await Promise.all(
    (await descendantsOf(postmaster)).map(
      async (pid) => await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => ''),
    ),
  );
  assert.ok(environments.join('').includes('LC_ALL=C'));
  assert.ok(!environments.join('').includes(SECRET));
});

/** A process and its children. */
async function descendantsOf(parent: number): Promise<number[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = await Promise.all(
    ids.map(async (id) => {
      const status = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => '');
      return Number(status.slice(status.lastIndexOf(')') + 2).split(' ')[1]);
    }),
  );
  return [parent, ...ids.filter((_, index) => parents[index] === parent)];
}
