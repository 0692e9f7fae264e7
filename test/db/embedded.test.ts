import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, link, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { prepareCluster } from '../../src/db/embedded/cluster.ts';
import { prepareDataFolder } from '../../src/db/embedded/data-folder.ts';
import { openEmbeddedServer, type EmbeddedServer } from '../../src/db/embedded/server.ts';

const isRoot = process.geteuid?.() === 0;

/**
 * A folder for a data folder; a server that still runs in it at the end of the test is stopped before the folder is
 * removed.
 */
async function makeFolder(t: TestContext, name = 'data'): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'gopherpay-embedded-'));
  t.after(async () => {
    const processId = await serverProcessId(join(root, name));
    if (processId !== null && (await stateOf(processId)) !== null) {
      process.kill(processId, 'SIGQUIT');
      await waitUntil(async () => (await stateOf(processId)) === null);
    }
    await rm(root, { recursive: true, force: true });
  });
  return join(root, name);
}

/** A process that opens the server, reports it, and runs until it is killed. */
function startUser(t: TestContext, dataDir: string): ChildProcess {
  const module = new URL('../../src/db/embedded/server.ts', import.meta.url).href;
  const script = `
    import { openEmbeddedServer } from ${JSON.stringify(module)};
    const server = await openEmbeddedServer(${JSON.stringify(dataDir)});
    process.once('SIGTERM', () => server.release().then(() => process.exit(0)));
    console.log(JSON.stringify({ adopted: server.adopted }));
    setInterval(() => {}, 60_000);`;
  const user = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => user.kill('SIGKILL'));
  return user;
}

async function answerOf(user: ChildProcess): Promise<unknown> {
  assert.ok(user.stdout);
  const [line] = await once(user.stdout, 'data');
  return JSON.parse(String(line));
}

async function end(user: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const ended = once(user, 'exit');
  user.kill(signal);
  await ended;
}

async function serverProcessId(dataDir: string): Promise<number | null> {
  const text = await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').catch(() => '');
  return Number.parseInt(text, 10) || null;
}

/** The state of a process on Linux, or null if it has ended. */
async function stateOf(processId: number): Promise<string | null> {
  const text = await readFile(`/proc/${processId}/status`, 'utf8').catch(() => '');
  return text === '' || /^State:\s+Z/m.test(text) ? null : text;
}

async function waitUntil(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, 'the condition did not come true within 10 s');
    await sleep(5);
  }
}

async function connectTo(t: TestContext, server: EmbeddedServer, superuser = false): Promise<Client> {
  const client = new Client(
    superuser ? { ...server.roles.owner, user: 'postgres', database: 'postgres' } : server.roles.owner,
  );
  t.after(() => client.end().catch(() => {}));
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function valueOf(t: TestContext, server: EmbeddedServer, sql: string, superuser = false): Promise<unknown> {
  const client = await connectTo(t, server, superuser);
  const { rows } = await client.query<unknown[]>({ text: sql, rowMode: 'array' });
  await client.end();
  return rows[0]?.[0];
}

async function assertGone(dataDir: string, processId: number | null): Promise<void> {
  assert.ok(processId !== null);
  assert.equal(await stateOf(processId), null);
  assert.equal(await serverProcessId(dataDir), null);
  assert.deepEqual(await readdir(join(dataDir, 'socket')).catch(() => []), []);
}

test('embedded: the first start creates a durable database that only its user can reach', async (t) => {
  const dataDir = await makeFolder(t, `da ta, "quoted"`);
  const server = await openEmbeddedServer(dataDir);
  assert.equal(server.adopted, false);
  const client = await connectTo(t, server);
  await client.query('create table gopher (id bigint primary key); insert into gopher values (1)');
  const { rows } = await client.query(
    `select current_user::text as role, current_database()::text as database, rolsuper as super,
            pg_encoding_to_char(encoding) as encoding
     from pg_roles, pg_database
     where rolname = current_user and datname = current_database()`,
  );
  assert.deepEqual(rows, [{ role: 'gopherpay', database: 'gopherpay', super: false, encoding: 'UTF8' }]);
  const expected = {
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    data_checksums: 'on',
    listen_addresses: '',
  };
  for (const [name, value] of Object.entries(expected)) {
    const shown = await client.query<unknown[]>({ text: `show ${name}`, rowMode: 'array' });
    assert.deepEqual(shown.rows, [[value]], name);
  }
  assert.equal((await stat(join(dataDir, 'socket'))).mode & 0o777, 0o700);
  assert.equal((await lstat(join(dataDir, 'socket', '.s.PGSQL.5432'))).mode & 0o777, 0o700);
  await client.end();
  await server.release();
});

test('embedded: the last process stops the server, and committed data survives to the next start', async (t) => {
  const dataDir = await makeFolder(t);
  const first = await openEmbeddedServer(dataDir);
  const second = await openEmbeddedServer(dataDir);
  assert.deepEqual([first.adopted, second.adopted], [false, true]);
  assert.deepEqual(second.roles, first.roles);
  const client = await connectTo(t, first);
  await client.query('create table gopher as select 7 as number');
  await first.release();
  await first.release();
  assert.equal(await valueOf(t, second, 'select number from gopher'), 7);
  const processId = await serverProcessId(dataDir);
  // A session that is still open does not keep it from stopping.
  await Promise.all([second.release(), second.release()]);
  await assertGone(dataDir, processId);

  const started = performance.now();
  const third = await openEmbeddedServer(dataDir);
  t.diagnostic(`a warm start took ${Math.round(performance.now() - started)} ms`);
  assert.equal(third.adopted, false);
  assert.equal(await valueOf(t, third, 'select number from gopher'), 7);
  await third.release();
});

test('embedded: the server of a killed process is adopted, and stopped by the last process', async (t) => {
  const dataDir = await makeFolder(t);
  const user = startUser(t, dataDir);
  assert.deepEqual(await answerOf(user), { adopted: false });
  const processId = await serverProcessId(dataDir);
  await end(user, 'SIGKILL');
  const server = await openEmbeddedServer(dataDir);
  assert.equal(server.adopted, true);
  assert.equal(await serverProcessId(dataDir), processId);
  assert.equal(await valueOf(t, server, 'select 1'), 1);
  await server.release();
  await assertGone(dataDir, processId);
});

test('embedded: a process that exits does not stop the server of another process', async (t) => {
  const dataDir = await makeFolder(t);
  const server = await openEmbeddedServer(dataDir);
  const user = startUser(t, dataDir);
  assert.deepEqual(await answerOf(user), { adopted: true });
  const processId = await serverProcessId(dataDir);
  await server.release();
  assert.equal(await serverProcessId(dataDir), processId);
  await end(user, 'SIGTERM');
  await assertGone(dataDir, processId);
});

test('embedded: two processes that open a new folder at the same time share one server', async (t) => {
  const dataDir = await makeFolder(t);
  const users = [startUser(t, dataDir), startUser(t, dataDir)];
  const answers = await Promise.all(users.map(answerOf));
  assert.deepEqual(
    new Set(answers.map((answer) => JSON.stringify(answer))),
    new Set(['{"adopted":true}', '{"adopted":false}']),
  );
  const processId = await serverProcessId(dataDir);
  await Promise.all(users.map((user) => end(user, 'SIGTERM')));
  await assertGone(dataDir, processId);
});

test('embedded: a process killed while it initializes the folder does not hinder the next', async (t) => {
  const dataDir = await makeFolder(t);
  const user = startUser(t, dataDir);
  const names = () => readdir(dataDir).catch((): string[] => []);
  await waitUntil(async () => {
    const begun = (await names()).find((name) => name.startsWith('postgres.new-'));
    return begun !== undefined && (await readdir(join(dataDir, begun))).includes('PG_VERSION');
  });
  await end(user, 'SIGKILL');
  assert.ok(!(await names()).includes('postgres'));
  const server = await openEmbeddedServer(dataDir);
  assert.equal(await valueOf(t, server, 'select 1'), 1);
  await server.release();
});

test('embedded: the next start creates a database that a killed first start did not create', async (t) => {
  const dataDir = await makeFolder(t);
  const server = await openEmbeddedServer(dataDir);
  const client = await connectTo(t, server, true);
  await client.query('drop database gopherpay');
  // Without its database: an adoption repairs it; without its role too: a start does.
  const adopting = await openEmbeddedServer(dataDir);
  assert.equal(await valueOf(t, adopting, 'select 1'), 1);
  await client.query('drop database gopherpay');
  await client.query('drop role gopherpay');
  await server.release();
  await adopting.release();
  const starting = await openEmbeddedServer(dataDir);
  assert.equal(await valueOf(t, starting, 'select 1'), 1);
  await starting.release();
});

test('embedded: a killed server recovers, although another process has its process id now', async (t) => {
  const dataDir = await makeFolder(t);
  const server = await openEmbeddedServer(dataDir);
  const client = await connectTo(t, server);
  await client.query('create table gopher as select 7 as number');
  const processId = await serverProcessId(dataDir);
  assert.ok(processId !== null);
  process.kill(processId, 'SIGKILL');
  await waitUntil(async () => (await stateOf(processId)) === null);
  for (const path of ['postgres/postmaster.pid', 'socket/.s.PGSQL.5432.lock']) {
    const text = await readFile(join(dataDir, path), 'utf8');
    await writeFile(join(dataDir, path), text.replace(String(processId), String(process.pid)));
  }
  // The first user notices nothing but a broken connection: the server that the second one starts is the server of both.
  const other = await openEmbeddedServer(dataDir);
  assert.equal(other.adopted, false);
  assert.equal(await valueOf(t, server, 'select number from gopher'), 7);
  await other.release();
  assert.equal(await valueOf(t, server, 'select number from gopher'), 7);
  const next = await serverProcessId(dataDir);
  await server.release();
  await assertGone(dataDir, next);

  // What a power cut can leave of the file.
  await writeFile(join(dataDir, 'postgres', 'postmaster.pid'), '');
  const again = await openEmbeddedServer(dataDir);
  assert.equal(await valueOf(t, again, 'select number from gopher'), 7);
  await again.release();
});

test('embedded: a stopping server is awaited and started again', async (t) => {
  const dataDir = await makeFolder(t);
  const first = await openEmbeddedServer(dataDir);
  const client = await connectTo(t, first);
  const processId = await serverProcessId(dataDir);
  assert.ok(processId !== null);
  // A smart shutdown: it goes when its last session does.
  process.kill(processId, 'SIGTERM');
  const state = () => readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8');
  await waitUntil(async () => (await state()).includes('stopping'));
  await assert.rejects(
    openEmbeddedServer(dataDir, { startTimeoutMs: 100 }),
    /was not ready after 0\.1 s.*smart shutdown/s,
  );
  const opening = openEmbeddedServer(dataDir);
  await client.end();
  const second = await opening;
  assert.equal(second.adopted, false);
  assert.notEqual(await serverProcessId(dataDir), processId);
  await first.release();
  await second.release();
});

test('embedded: a path too long for a socket works, with the socket in a private folder elsewhere', async (t) => {
  const dataDir = await makeFolder(t, join('x'.repeat(60), 'y'.repeat(60)));
  const server = await openEmbeddedServer(dataDir);
  const socketDir = server.roles.owner.host;
  assert.equal((await stat(socketDir)).mode & 0o777, 0o700);
  assert.equal(await valueOf(t, server, 'select 1'), 1);
  const processId = await serverProcessId(dataDir);
  await server.release();
  await assertGone(dataDir, processId);
  await assert.rejects(stat(socketDir), { code: 'ENOENT' });

  // A folder of another user with that name is refused.
  await mkdir(socketDir);
  t.after(() => rm(socketDir, { recursive: true, force: true }));
  await chmod(socketDir, 0o777);
  await assert.rejects(openEmbeddedServer(dataDir), /is not a folder for the database's user alone/);
});

test(
  'embedded: root runs it as another user, in a folder that this user cannot enter too',
  { skip: !isRoot },
  async (t) => {
    const dataDir = await makeFolder(t);
    assert.equal((await stat(join(dataDir, '..'))).mode & 0o777, 0o700);
    const server = await openEmbeddedServer(dataDir);
    const processId = await serverProcessId(dataDir);
    assert.ok(processId !== null);
    const state = (await stateOf(processId)) ?? '';
    const owner = (await stat(join(dataDir, 'postgres'))).uid;
    assert.notEqual(owner, 0);
    for (const name of ['start.lock', 'users.lock', 'postgres.log']) {
      const status = await stat(join(dataDir, name));
      assert.deepEqual([status.uid, status.mode & 0o777], [owner, 0o600], name);
    }
    assert.match(state, new RegExp(`^Uid:\\t${owner}\\t${owner}\\t`, 'm'));
    // dac_override, and nothing else.
    assert.match(state, /^CapEff:\t0000000000000002$/m);
    await server.release();

    // A folder that came back from a backup as root's.
    await chmod(join(dataDir, '..'), 0o755);
    execFileSync('chown', ['-R', '0:0', dataDir]);
    const again = await openEmbeddedServer(dataDir);
    assert.equal(await valueOf(t, again, 'select 1'), 1);
    await again.release();
  },
);

test('embedded: links in the data folder are not followed, and their targets are neither created nor chowned', async (t) => {
  const dataDir = await makeFolder(t);
  const secret = join(dirname(dataDir), 'secret');
  await writeFile(secret, 'before', { mode: 0o644 });
  const absent = join(dirname(dataDir), 'absent');
  const before = await stat(secret);
  for (const name of ['start.lock', 'users.lock', 'postgres.log']) {
    for (const target of [absent, secret]) {
      await mkdir(dataDir, { recursive: true });
      await symlink(target, join(dataDir, name));
      await assert.rejects(
        openEmbeddedServer(dataDir),
        name === 'postgres.log' ? /cannot be created/ : /is not a file/,
      );
      await rm(dataDir, { recursive: true });
    }
  }
  await mkdir(dataDir);
  await link(secret, join(dataDir, 'postgres.log'));
  await assert.rejects(openEmbeddedServer(dataDir), /postgres\.log is not a file of the database alone/);
  await assert.rejects(lstat(absent), { code: 'ENOENT' });
  const after = await stat(secret);
  assert.equal(await readFile(secret, 'utf8'), 'before');
  assert.deepEqual([after.uid, after.mode], [before.uid, before.mode]);
});

test('embedded: a folder that cannot be opened is refused with advice', async (t) => {
  const dataDir = await makeFolder(t);
  await (await openEmbeddedServer(dataDir)).release();
  const versionFile = join(dataDir, 'postgres', 'PG_VERSION');
  await writeFile(versionFile, '17\n');
  await assert.rejects(
    openEmbeddedServer(dataDir),
    /by another version, PostgreSQL 17: make a backup with the version of GopherPay that used it/,
  );
  await rm(versionFile);
  await assert.rejects(openEmbeddedServer(dataDir), /is not a database \(it has no PG_VERSION\): restore/);
  await writeFile(versionFile, '18\n');

  await rm(join(dataDir, 'postgres', 'global', 'pg_control'));
  await assert.rejects(
    openEmbeddedServer(dataDir),
    /ended while starting: correct what it complains about.*pg_control/,
  );

  await assert.rejects(
    openEmbeddedServer(join(versionFile, 'data')),
    /PG_VERSION\/data cannot be created or written: give this user write permission, or set DATA_DIR/,
  );
  await assert.rejects(openEmbeddedServer('/proc/gopherpay'), /cannot be created or written/);

  const lock = new DatabaseSync(join(dataDir, 'start.lock'));
  t.after(() => lock.close());
  lock.exec('begin exclusive');
  await assert.rejects(
    openEmbeddedServer(dataDir, { startTimeoutMs: 50 }),
    /Another process has been starting or stopping the database in .* for 0\.05 s: wait/,
  );
});

test('embedded: the path of the programs is not interpreted by a shell', async (t) => {
  const place = await prepareDataFolder(await makeFolder(t));
  for (const part of ['`touch run`', '$(touch run)', 'a"b', 'a\\b', 'a\nb']) {
    const folder = join(place.dataDir, part);
    const programs = { postgres: join(folder, 'postgres'), initdb: join(folder, 'initdb') };
    await assert.rejects(
      prepareCluster(place, programs, { timeoutMs: 10_000 }),
      /^Error: PostgreSQL cannot be run from /,
    );
  }
});

test('embedded: a data folder may have any characters in its path but a line break', async (t) => {
  const dataDir = await makeFolder(t, 'a `touch run` $(touch run) $HOME "b" \'c\' %d');
  const server = await openEmbeddedServer(dataDir);
  assert.equal(await valueOf(t, server, 'select 1'), 1);
  await server.release();
  await assert.rejects(openEmbeddedServer(await makeFolder(t, 'a\nb')), /has a line break in its path/);
});
