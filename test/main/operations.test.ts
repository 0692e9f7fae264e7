// The listener for operators, and the reports of readiness.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { request, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

test('operations: a listener of its own serves probes and metrics, and metrics are served there only', async (t) => {
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1', OPERATIONS_PORT: '0' } });
  const started = () => service.logs().find(({ msg }) => msg === 'operations listener started');
  const line = await until(started, { what: 'the log to name the listener' });
  const operations = { url: String(line['url']) };
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    assert.equal((await request(operations, 'GET', path)).status, 200, path);
  }
  assert.equal((await request(operations, 'GET', '/accounts')).status, 404);
  assert.equal((await request(service, 'GET', '/healthz')).status, 200);
  assert.equal((await request(service, 'GET', '/readyz')).status, 200);
  assert.equal((await request(service, 'GET', '/metrics')).status, 404);
  assert.equal((await service.stop()).code, 0);
});
