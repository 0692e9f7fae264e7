// What is there before the first case: accounts in every state, and movements whose ids cases can name.
import assert from 'node:assert/strict';
import { awaitFinal, request } from '../support/service.ts';
import type { Ids } from './cases.ts';
import { ACCOUNTS, FIXTURE_CURRENCY, FIXTURE_LEDGER, WEBHOOK_TOKENS } from './edge-cases.ts';

const RICH = 10 ** 12;
const LARGE = 10 ** 9;

/** Opens the accounts that cases use, and returns the ids that tokens in cases stand for. */
export async function setUp(service: { url: string }): Promise<Ids> {
  const post = async (path: string, body: unknown, status: number): Promise<Record<string, unknown>> => {
    const answer = await request(service, 'POST', path, body, { prefer: 'wait=10' });
    assert.equal(answer.status, status, answer.text);
    return answer.body;
  };
  const change = async (number: string, body: unknown): Promise<void> => {
    assert.equal((await request(service, 'PATCH', `/accounts/${number}`, body)).status, 200);
  };
  for (const number of ACCOUNTS) {
    const currency = number === 'YEN' ? 'JPY' : FIXTURE_CURRENCY;
    const balance = number === 'SHUT' ? 0 : RICH;
    await post('/accounts', { account_number: number, name: number, currency, balance }, 201);
  }
  await change('COLD', { status: 'frozen' });
  await change('TAKE', { status: 'receive_only' });
  assert.equal((await request(service, 'DELETE', '/accounts/SHUT')).status, 204);

  const between = { from_account: 'F0', to_account: 'F1', amount: LARGE };
  const order = async (path: string, body: unknown): Promise<string> => {
    const id = String((await post(path, body, 200))['id']);
    await awaitFinal(service, id);
    return id;
  };
  const group = await post('/transfers', { transfers: [between, { ...between, to_account: 'F2' }] }, 200);
  const [transfer0, transfer1] = [
    await order('/transfers', between),
    await order('/transfers', { ...between, amount: 2 * RICH }),
  ];
  const holds = [await order('/holds', between), await order('/holds', between), await order('/holds', between)];
  await post(`/holds/${holds[1]}/void`, {}, 200);
  const there = `/ledgers/${FIXTURE_LEDGER}`;
  await post('/ledgers', { name: FIXTURE_LEDGER }, 201);
  const accounts = ACCOUNTS.filter((number) => number !== 'SHUT').map((number) => ({
    account_number: number,
    name: number,
    currency: FIXTURE_CURRENCY,
    balance: RICH,
  }));
  // No more at once than the smallest queue takes.
  for (let start = 0; start < accounts.length; start += 3) {
    await post(`${there}/accounts`, { accounts: accounts.slice(start, start + 3) }, 201);
  }
  const [transfer2, hold3] = [
    String((await post(`${there}/transfers`, between, 200))['id']),
    String((await post(`${there}/holds`, between, 200))['id']),
  ];
  const hook = { url: 'https://hooks.example.com', account: 'NOSUCH' };
  const hooks: [string, string][] = [];
  for (const token of WEBHOOK_TOKENS) hooks.push([token, String((await post('/webhooks', hook, 201))['id'])]);
  return new Map([
    ...hooks,
    ['~transfer0~', transfer0],
    ['~transfer1~', transfer1],
    ['~transfer2~', transfer2],
    ['~hold3~', hold3],
    ['~group0~', String(group['group_id'])],
    ...holds.map((id, index): [string, string] => [`~hold${index}~`, id]),
  ]);
}
