// Goal: a primary that falls silent, without an end of any connection, is left for the standby that is promoted; no
// answer takes longer than HIGH-AVAILABILITY.md says, nothing that was answered is lost, and the former primary is not
// used when it is back. Method: the network drops every byte, or all processes of the primary are stopped, under load.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { onEnd } from '../support/cleanup.ts';
import { checkPromises } from '../support/promises/check.ts';
import { Proxy } from '../support/proxy.ts';
import { request, type Service, startService } from '../support/service.ts';
import { hasStandby, type Replicated, startReplicated } from '../support/standby.ts';
import { until } from '../support/until.ts';
import { attempt, inParallel, isAccepted, LOAD_ENV, openAccounts, type Order, times } from './callers.ts';
import {
  awaitSettled,
  BACK_MS,
  countSettled,
  countTransfers,
  LEFT_MS,
  makeOrders,
  MISSING,
  ms,
  readHead,
  runAudit,
  uses,
} from './failover.ts';
import { type RetryingCallers, startRetryingCallers } from './retrying-callers.ts';

const ORDERS = 3000;
/** How long a caller waits at most with the default settings. */
const SILENT_MS = 30_000;

test('silent primary: one that the network cuts off in silence is left for the promoted standby', async (t) => {
  if (!(await hasStandby())) return t.skip(MISSING);
  const servers = await startReplicated(t, { synchronous: true });
  const { primary, standby } = servers;
  const proxy = await Proxy.open(primary.admin);
  onEnd(t, () => proxy.close());
  const url = servers.url.replace(`:${primary.port},`, `:${proxy.port},`);
  const service = await startService(t, { database: { url }, env: { ...LOAD_ENV, THREADS: '4' } });
  await outliveSilence(t, servers, service, async (callers) => {
    proxy.swallow();
    const startedAt = performance.now();
    // The longest that callers can wait.
    await until(() => callers.waiting() === 0, { timeoutMs: SILENT_MS, what: 'every caller to be answered' });
    t.diagnostic(`every caller was answered ${ms(startedAt)} ms after the silence began`);
    await standby.promote();
    return async () => {
      // Its server has noticed that their other ends are gone.
      proxy.bury();
      await proxy.heal();
    };
  });
});

test('silent primary: one whose processes are all stopped is left for the promoted standby', async (t) => {
  if (!(await hasStandby())) return t.skip(MISSING);
  const servers = await startReplicated(t, { synchronous: true });
  const service = await startService(t, { database: servers, env: { ...LOAD_ENV, THREADS: '4' } });
  await outliveSilence(t, servers, service, async () => {
    const thaw = await servers.primary.freeze();
    await servers.standby.promote();
    return thaw;
  });
});

/**
 * Lets the primary fall silent under load, and the standby be promoted; later the primary is back. `replace` does both,
 * and returns what brings it back.
 */
async function outliveSilence(
  t: TestContext,
  servers: Replicated,
  service: Service,
  replace: (callers: RetryingCallers) => Promise<() => Promise<void> | void>,
): Promise<void> {
  const { primary, standby } = servers;
  const accounts = await openAccounts(service, 'ACC', 10, { balance: 1_000_000 });
  const headers = (index: number): Record<string, string> => (index % 2 === 0 ? { Prefer: 'wait=5' } : {});
  const callers = startRetryingCallers(service, makeOrders(accounts, ORDERS), {
    headers,
    readyMs: SILENT_MS + BACK_MS,
  });
  let slowestReadMs = 0;
  const reading = inParallel(4, times(4, String), async (index) => {
    while (!callers.ended()) {
      const sentAt = performance.now();
      const { status, text } = await request(service, 'GET', `/accounts/ACC${index}`);
      slowestReadMs = Math.max(slowestReadMs, performance.now() - sentAt);
      assert.ok(status === 200 || status === 503, text);
      const isReady = async () => callers.ended() || (await request(service, 'GET', '/readyz')).status === 200;
      if (status === 503) await until(isReady, { timeoutMs: SILENT_MS + BACK_MS, what: 'the service to be ready' });
    }
  });
  await until(() => callers.accepted() >= 500, { timeoutMs: 30_000, what: 'load' });
  const checkpoint = await readHead(primary);
  const silentAt = performance.now();
  const bringBack = await replace(callers);
  const promotedAt = performance.now();
  const settled = await countSettled(standby);
  await until(async () => (await countSettled(standby)) > settled, { timeoutMs: BACK_MS, what: 'a settled transfer' });
  t.diagnostic(`settled ${ms(promotedAt)} ms after the promotion, ${ms(silentAt)} ms after the silence began`);
  await bringBack();
  // Connections that were opened into the silence end, and statements that arrived late wait for the former standby.
  const sessions = `select from pg_stat_activity where application_name like 'gopherpay%' and wait_event is distinct from 'SyncRep'`;
  await until(async () => (await primary.query(sessions)).length === 0, {
    timeoutMs: LEFT_MS,
    what: 'the old sessions to end',
  });
  const before = await countTransfers(primary);
  await primary.query('alter system set log_connections = on', [], 'postgres');
  await primary.query('select pg_reload_conf()', [], 'postgres');

  const { attempts, idByOrder } = await callers.finished;
  await reading;
  const slowestMs = Math.max(...attempts.map(({ tookMs }) => tookMs));
  t.diagnostic(
    `the slowest of ${attempts.length} answers took ${Math.round(slowestMs)} ms, of reads ${Math.round(slowestReadMs)} ms`,
  );
  assert.ok(Math.max(slowestMs, slowestReadMs) < SILENT_MS);
  // New sessions could go to either.
  await standby.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'gopherpay%'`,
  );
  const orders = makeOrders(accounts, 200);
  await inParallel(20, orders, async (order, index) => {
    await awaitAccepted(service, order, { 'Idempotency-Key': `again-${index}`, Prefer: 'wait=5' });
  });
  const opened = (await primary.log()).matchAll(/connection authorized: .* application_name=(gopherpay.*)/g);
  const names = [...opened].map(([, name]) => name);
  assert.deepEqual(
    names.filter((name) => name !== 'gopherpay look'),
    [],
    'No session goes to the former primary.',
  );

  await refuseFormerPrimary(t, servers, service);
  await awaitSettled(standby);
  assert.equal(await countTransfers(primary), before, 'Nothing more was written to the former primary.');
  await checkPromises(standby, { accepted: [...idByOrder.values()], nothingPending: true });
  assert.equal(new Set(idByOrder.values()).size, ORDERS, 'Each key names one transfer.');
  const audit = await runAudit(t, servers, checkpoint);
  assert.deepEqual(audit.exit, { code: 0, signal: null }, audit.output);
}

/** The former primary is not used while the new one is away for a moment, nor by a process that begins with its host. */
async function refuseFormerPrimary(t: TestContext, servers: Replicated, service: Service): Promise<void> {
  const { standby } = servers;
  const [order] = makeOrders(['ACC0', 'ACC1'], 1);
  assert.ok(order);
  await standby.kill();
  await until(async () => (await request(service, 'GET', '/readyz')).status === 503, { what: 'the service to notice' });
  for (const { answer } of await Promise.all(times(5, async () => await attempt(service, order)))) {
    assert.equal(answer?.status, 503);
  }
  await standby.start();
  await awaitAccepted(service, order, { Prefer: 'wait=5' });
  const second = await startService(t, { database: servers, env: { ...LOAD_ENV, THREADS: '4' } });
  await awaitAccepted(second, order, { Prefer: 'wait=5' });
  assert.ok(await uses(second, standby));
}

async function awaitAccepted(service: Service, order: Order, headers: Record<string, string>): Promise<void> {
  const isDone = async () => isAccepted(await attempt(service, order, headers));
  await until(isDone, { timeoutMs: BACK_MS, what: 'the service to accept a transfer' });
}
