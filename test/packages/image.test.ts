// The image of the service: what is in it, and that `docker stop` under load loses nothing. TEST_APP_IMAGE names it;
// .ci/app-image/build.sh makes it. The tests' PostgreSQL must be in a container too, because others do not listen for containers.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { z } from 'zod';
import { VERSION } from '../../src/version.ts';
import { onEnd } from '../support/cleanup.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { request } from '../support/service.ts';
import { until } from '../support/until.ts';

const IMAGE = process.env['TEST_APP_IMAGE'] ?? '';
// Without Docker there is no image. CI names one, and cannot get here.
const options = { timeout: 120_000, skip: IMAGE === '' && 'TEST_APP_IMAGE names no image: see .ci/app-image/build.sh' };
/** As operators should run it. */
const HARDENED = ['--read-only', '--tmpfs=/tmp', '--cap-drop=ALL', '--security-opt=no-new-privileges'];
const HOST = 'host.docker.internal';
const CALLERS = 32;
/** How many transfers are accepted before the stop. */
const ACCEPTED_MIN = 2000;

const inspected = z.array(
  z.object({
    Config: z.object({ User: z.string(), StopSignal: z.string(), Labels: z.record(z.string(), z.string()) }),
  }),
);
const ended = z.array(
  z.object({
    State: z.object({ ExitCode: z.int(), Health: z.object({ Status: z.string() }) }),
    NetworkSettings: z.object({ Ports: z.record(z.string(), z.array(z.object({ HostPort: z.string() })).nullable()) }),
  }),
);

type Ended = { code: number; output: string };

async function docker(...args: string[]): Promise<Ended> {
  return await promisify(execFile)('docker', args, { maxBuffer: 64 * 1024 * 1024 }).then(
    ({ stdout, stderr }) => ({ code: 0, output: `${stdout}${stderr}` }),
    (error: unknown) =>
      z
        .object({ code: z.int(), stdout: z.string(), stderr: z.string() })
        .transform(({ code, stdout, stderr }) => ({ code, output: `${stdout}${stderr}` }))
        .parse(error),
  );
}

/** Runs a command of the image to its end. */
async function command(database: TestDatabase | null, ...args: string[]): Promise<Ended> {
  return await docker('run', '--rm', ...HARDENED, ...addressOf(database), IMAGE, ...args);
}

/** What a container needs to reach a database of this machine. */
function addressOf(database: TestDatabase | null): string[] {
  if (database === null) return [];
  assert.equal(database.settings.host.startsWith('/'), false, 'Set TEST_DATABASE=container.');
  const seen = (url: string) => Object.assign(new URL(url), { hostname: HOST }).href;
  return [
    `--add-host=${HOST}:host-gateway`,
    `--env=DATABASE_URL=${seen(database.url)}`,
    `--env=DATABASE_OWNER_URL=${seen(database.ownerUrl)}`,
  ];
}

async function makeKey(database: TestDatabase): Promise<{ authorization: string }> {
  const { code, output } = await command(database, 'keys', 'create', '--name=test', '--scopes=all', '--all-ledgers');
  assert.equal(code, 0, output);
  const [key] = /^gp_\S+$/m.exec(output) ?? [];
  return { authorization: `Bearer ${key}` };
}

/** Starts the service, and waits until Docker finds it healthy. */
async function start(t: TestContext, database: TestDatabase): Promise<{ id: string; url: string }> {
  const settings = [...HARDENED, ...addressOf(database), '--publish=127.0.0.1::8080', '--health-interval=1s'];
  const { code, output } = await docker('run', '--detach', ...settings, '--env=THREADS=2', IMAGE);
  assert.equal(code, 0, output);
  const id = output.trim();
  onEnd(t, async () => void (await docker('rm', '--force', id)));
  const healthy = async () => {
    const [container] = ended.parse(JSON.parse((await docker('inspect', id)).output));
    return container?.State.Health.Status === 'healthy' && container.NetworkSettings.Ports['8080/tcp']?.[0]?.HostPort;
  };
  const port = await until(healthy, { timeoutMs: 60_000, what: 'the container to be healthy' });
  return { id, url: `http://127.0.0.1:${port}` };
}

test('image: it is labelled, runs as an ordinary user, and has the service and no tools', options, async () => {
  const [image] = inspected.parse(JSON.parse((await docker('image', 'inspect', IMAGE)).output));
  assert.ok(image);
  const { User, StopSignal, Labels } = image.Config;
  assert.deepEqual([User, StopSignal], ['1000:1000', 'SIGTERM']);
  assert.equal(Labels['org.opencontainers.image.version'], VERSION);
  assert.deepEqual(await command(null, '--version'), { code: 0, output: `${VERSION}\n` });
  const list = `const { globSync } = require('node:fs');
    console.log(JSON.stringify([globSync('/app/*'), globSync('/app/node_modules/{*embedded*,node-{bin,linux}*,oxlint}')]))`;
  const { output } = await docker('run', '--rm', '--entrypoint=node', IMAGE, '--eval', list);
  const names = ['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'migrations', 'node_modules'];
  const expected = [...names, 'package-lock.json', 'package.json', 'src'].map((name) => `/app/${name}`);
  assert.deepEqual(JSON.parse(output), [expected, []]);
});

test('image: without a database, or without a key, it says what to do', options, async (t) => {
  const nameless = await command(null);
  assert.equal(nameless.code, 1);
  assert.match(nameless.output, /^No setting names a database, .* set DATABASE_URL/m);
  const keyless = await command(await createDatabase(t));
  assert.equal(keyless.code, 1);
  assert.match(keyless.output, /^The service has no keys, and HOST "0\.0\.0\.0" .* `gopherpay keys create`/m);
});

test('image: stopped under load, it exits with 0, and each accepted transfer is final', options, async (t) => {
  const database = await createDatabase(t);
  const headers = await makeKey(database);
  const service = await start(t, database);
  const accounts = ['ANN', 'BOB'].map((account_number) => ({ account_number, name: 'A', balance: 1_000_000 }));
  assert.equal((await request(service, 'POST', '/accounts', { accounts }, headers)).status, 201);
  const accepted: string[] = [];
  const call = async (): Promise<void> => {
    const transfer = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
    for (;;) {
      const answer = await request(service, 'POST', '/transfers', transfer, headers).catch(() => null);
      if (answer?.status === 202) accepted.push(z.string().parse(answer.body['id']));
      else if (answer?.status !== 429) return;
    }
  };
  const callers = Array.from({ length: CALLERS }, call);
  await until(() => accepted.length >= ACCEPTED_MIN, { timeoutMs: 60_000, what: `${ACCEPTED_MIN} transfers` });
  await docker('stop', '--time=90', service.id);
  await Promise.all(callers);
  const [container] = ended.parse(JSON.parse((await docker('inspect', service.id)).output));
  const { output } = await docker('logs', service.id);
  assert.equal(container?.State.ExitCode, 0, output);
  assert.match(output, /"msg":"stopped"/);
  t.diagnostic(`${accepted.length} accepted`);
  await checkPromises(database, { accepted, nothingPending: true });
  const audit = await command(database, 'audit');
  assert.equal(audit.code, 0, audit.output);
});
