// Secrets in files: which files are read, and which are refused with a sentence.
import assert from 'node:assert/strict';
import { chmod, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { execFile } from 'node:child_process';
import { parseConfig, SETTING_NAMES } from '../src/config.ts';
import { readEnvFile } from '../src/env-file.ts';
import { onEnd } from './support/cleanup.ts';
import { makeFolder } from './support/service.ts';

const URL_TEXT = 'postgres://ada:Geheim-4711@db/books';

async function secretFile(t: TestContext, content: string | Buffer, mode = 0o600): Promise<string> {
  const path = join(await makeFolder(t), 'secret');
  await writeFile(path, content);
  await chmod(path, mode);
  return path;
}

for (const [what, end] of Object.entries({
  'no line break': '',
  'a line break': '\n',
  'a Windows line break': '\r\n',
})) {
  test(`secrets: DATABASE_URL_FILE names a file that ends with ${what}`, async (t) => {
    const path = await secretFile(t, `${URL_TEXT}${end}`);
    assert.deepEqual(parseConfig({ DATABASE_URL_FILE: path }).database, { connectionString: URL_TEXT });
  });
}

test('secrets: DB_PASSWORD_FILE keeps every other character of a password', async (t) => {
  const path = await secretFile(t, ' a\n b#"\\ \n\n');
  const { database } = parseConfig({ DB_HOST: 'localhost', DB_PASSWORD_FILE: path });
  assert.ok(database && 'password' in database);
  assert.equal(database.password, ' a\n b#"\\ \n');
});

test('secrets: a file is accepted with the modes of Kubernetes and Docker, and through a link', async (t) => {
  for (const mode of [0o400, 0o440, 0o444, 0o644, 0o660]) {
    const path = await secretFile(t, URL_TEXT, mode);
    assert.ok(parseConfig({ DATABASE_URL_FILE: path }).database, mode.toString(8));
    await symlink(path, `${path}-link`);
    assert.ok(parseConfig({ DATABASE_URL_FILE: `${path}-link` }).database, mode.toString(8));
  }
});

const REFUSED: { what: string; make: (t: TestContext) => Promise<string>; message: RegExp }[] = [
  { what: 'is missing', make: async () => '/nowhere/secret', message: /cannot be read \(ENOENT\): correct the path/ },
  { what: 'is a folder', make: makeFolder, message: /cannot be read \(it is not a file\): / },
  {
    what: 'is a pipe',
    make: async (t) => {
      const path = join(await makeFolder(t), 'pipe');
      await promisify(execFile)('mkfifo', [path]);
      return path;
    },
    message: /cannot be read \(it is not a file\): /,
  },
  { what: 'is empty', make: async (t) => await secretFile(t, '\n'), message: /is empty: write the secret into it/ },
  {
    what: 'is too large',
    make: async (t) => await secretFile(t, URL_TEXT.padEnd(64 * 1024 + 1)),
    message: /is larger than 64 KiB: /,
  },
  {
    what: 'is not UTF-8',
    make: async (t) => await secretFile(t, Buffer.from('Geheim-\xe4', 'latin1')),
    message: /is not in UTF-8: /,
  },
  {
    what: 'can be written by all users',
    make: async (t) => await secretFile(t, URL_TEXT, 0o602),
    message: /can be written by all users: run "chmod o-w /,
  },
  {
    what: 'holds no URL of a database',
    make: async (t) => await secretFile(t, 'mysql://ada:Geheim-4711@db/books'),
    message: /^The setting DATABASE_URL is wrong: it must begin with postgres/,
  },
];

for (const { what, make, message } of REFUSED) {
  test(`secrets: a file that ${what} is refused with a sentence`, async (t) => {
    const path = await make(t);
    assert.throws(
      () => parseConfig({ DATABASE_URL_FILE: path }),
      (error: Error) =>
        message.test(error.message) && /DATABASE_URL/.test(error.message) && !error.message.includes('Geheim'),
    );
  });
}

test('secrets: a setting and its file together are refused', () => {
  for (const name of ['DATABASE_URL', 'DB_PASSWORD']) {
    assert.throws(() => parseConfig({ [name]: 'x', [`${name}_FILE`]: '/run/secrets/x' }), {
      message: `The settings ${name} and ${name}_FILE are both given: remove one of them.`,
    });
  }
});

test('secrets: every setting that is a URL or a password can be given in a file', () => {
  const secrets = SETTING_NAMES.filter((name) => /(URL|PASSWORD|SECRET)$/.test(name));
  for (const name of secrets) assert.ok(SETTING_NAMES.includes(`${name}_FILE`), name);
});

async function enter(t: TestContext, mode: number, content: string): Promise<void> {
  const folder = await makeFolder(t);
  const before = process.cwd();
  process.chdir(folder);
  onEnd(t, () => process.chdir(before));
  await writeFile('.env', content);
  await chmod('.env', mode);
}

const read = (): Record<string, string> => readEnvFile(SETTING_NAMES, ['DATABASE_URL', 'DB_PASSWORD']);

for (const mode of [0o640, 0o604, 0o644, 0o620, 0o660]) {
  test(`secrets: a .env with a secret and mode ${mode.toString(8)} is refused`, async (t) => {
    await enter(t, mode, `PORT=0\nDATABASE_URL=${URL_TEXT}\n`);
    assert.throws(read, {
      message:
        'The file .env has DATABASE_URL, and other users can read it: make it yours alone (chown, chmod 600), or move the secret to a file that DATABASE_URL_FILE names.',
    });
  });
}

test("secrets: a .env with a secret that is its owner's alone is accepted", async (t) => {
  await enter(t, 0o600, `DATABASE_URL=${URL_TEXT}\n`);
  assert.deepEqual(read(), { DATABASE_URL: URL_TEXT });
  await chmod('.env', 0o400);
  assert.deepEqual(read(), { DATABASE_URL: URL_TEXT });
});

test('secrets: a .env that others can read is accepted without a secret', async (t) => {
  await enter(t, 0o644, 'PORT=0\nDB_PASSWORD=\nDATABASE_URL_FILE=/run/secrets/url\n');
  assert.deepEqual(read(), { PORT: '0', DB_PASSWORD: '', DATABASE_URL_FILE: '/run/secrets/url' });
});
