import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { MAIN } from '../support/service.ts';

test('load: a feed that breaks off is followed again, and what was settled meanwhile is seen', async (t) => {
  const ids: string[] = [];
  let broken = 0;
  const send = (response: ServerResponse, status: number, body: unknown) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  const service = createServer((request, response) => {
    request.resume();
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://service');
    if (pathname === '/accounts') send(response, 201, {});
    else if (pathname === '/balances') send(response, 200, { journal_number: 0, currencies: [] });
    else if (pathname === '/transfers') {
      const id = `transfer-${ids.length}`;
      ids.push(id);
      send(response, 202, { id, status: 'pending' });
    } else if (broken < 3) {
      broken += 1;
      request.socket.destroy();
    } else {
      const after = Number(searchParams.get('after'));
      const settled = ids.slice(after).map((id) => ({ id }));
      send(response, 200, {
        items: settled.length === 0 ? [] : [{ transfers: settled }],
        next: after + settled.length,
      });
    }
  });
  service.listen(0, '127.0.0.1');
  await once(service, 'listening');
  t.after(() => service.close());
  const address = service.address();
  assert.ok(typeof address === 'object' && address !== null);
  const url = `http://127.0.0.1:${address.port}`;
  const options = ['--url', url, '--duration', '1', '--connections', '2', '--accounts', '2', '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, 'load', ...options]);
  const { accepted, settled } = JSON.parse(stdout);
  assert.equal(broken, 3);
  assert.equal(accepted, ids.length);
  assert.equal(settled, accepted);
});
