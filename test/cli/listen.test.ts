// gopherpay listen: events of a running service arrive at a URL as webhooks do.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startReceiver } from '../support/receiver.ts';
import { makeFolder, request, type Service, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

let database: TestDatabase;
let service: Service;

before(async (t) => {
  database = await createDatabase(t);
  service = await startService(t, { database, env: { THREADS: '1' } });
});

async function open(account_number: string): Promise<void> {
  const answer = await request(service, 'POST', '/accounts', { account_number, name: 'Ada' });
  assert.equal(answer.status, 201, answer.text);
}

test('listen: later events are posted and signed with the printed secret, until Ctrl-C', async (t) => {
  await open('EARLY');
  const receiver = await startReceiver(t);
  const args = ['listen', `--url=${service.url}`, `--forward-to=${receiver.url}`, '--types=account.opened'];
  const program = await startProgram(t, { args });
  const [, secret] = await until(() => /signed with (whsec_\S+)\n/.exec(program.output()), { what: 'the secret' });
  await open('LATE');
  const received = await until(() => receiver.received[0], { what: 'the event' });
  const headers = Object.fromEntries(Object.entries(received.headers).map(([name, value]) => [name, String(value)]));
  new Webhook(String(secret)).verify(received.text, headers);
  assert.equal(received.message.data['account_number'], 'LATE');
  receiver.answer = (response) => void response.writeHead(500).end();
  await open('LAST');
  await until(() => program.stdout().split('\n').length > 2, { what: 'the second line' });
  assert.match(program.stdout(), /^204 account\.opened evt_[0-9a-f]{32}_0\n500 account\.opened evt_[0-9a-f]{32}_0\n$/);
  const { code } = await program.stop();
  assert.equal(code, 128 + 15);
});

test('listen: it begins after the event that is named, with the secret that is named', async (t) => {
  await open('FIRST');
  const receiver = await startReceiver(t);
  const secret = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
  const file = join(await makeFolder(t), 'secret');
  await writeFile(file, `${secret}\n`);
  const args = ['listen', `--url=${service.url}`, `--forward-to=${receiver.url}`, `--secret-file=${file}`, '--after=0'];
  const program = await startProgram(t, { args });
  const received = await until(() => receiver.received[0], { what: 'the first event' });
  assert.equal(received.message.journal_number, 1);
  const headers = Object.fromEntries(Object.entries(received.headers).map(([name, value]) => [name, String(value)]));
  new Webhook(secret).verify(received.text, headers);
  assert.ok(program.output().includes(`signed with ${file}`) && !program.output().includes(secret));
});

test('listen: a service out of reach, a wrong option and a refused filter end it with a sentence', async (t) => {
  const to = '--forward-to=http://127.0.0.1:9/';
  const cases: [string[], number, RegExp][] = [
    [['--url=http://127.0.0.1:9', to], 4, /out of reach/],
    [[`--url=${service.url}`], 2, /--forward-to/],
    [[`--url=${service.url}`, to, '--secret=x'], 2, /--secret/],
    [[`--url=${service.url}`, to, '--secret-file=/nosuch'], 2, /--secret-file cannot be read/],
    [[`--url=${service.url}`, to, `--secret-file=${import.meta.filename}`], 2, /is not a secret/],
    [[`--url=${service.url}`, to, '--types=nonsense'], 2, /invalid_request/],
    [[`--url=${service.url}`, to, '--ledger=nosuch'], 2, /no ledger nosuch/],
  ];
  for (const [args, code, sentence] of cases) {
    const program = await startProgram(t, { args: ['listen', ...args] });
    assert.equal((await program.exited).code, code, program.output());
    assert.match(program.output(), sentence);
  }
});
