// The books of a small shop, as the screenshots show them: ninety days by a test clock, always with the same names,
// amounts and instants.
import assert from 'node:assert/strict';
import { drawFrom, type Random } from '../support/random.ts';
import { request } from '../support/service.ts';

export const DEMO_LEDGER = 'shop';
const DAYS = 90;
const FIRST_DAY = Date.parse('2026-08-28T09:00:00Z');
const DAY_MS = 86_400_000;

const CUSTOMERS = ['Ada Lovelace', 'Grace Hopper', 'Edsger Dijkstra', 'Barbara Liskov', 'Tony Hoare', 'Frances Allen'];
const ARTICLES = ['Coffee beans', 'Espresso cups', 'Grinder', 'Filter papers', 'Milk jug', 'Subscription'];

type Body = Record<string, unknown>;

/** Fills the ledger, and returns the numbers and ids that the pages begin with. */
export async function makeDemo(service: { url: string }): Promise<{ customer: string; transferId: string }> {
  const send = async (path: string, body: Body): Promise<Body> => {
    const answer = await request(service, 'POST', path, body, { prefer: 'wait=10' });
    assert.ok(answer.status < 300, `${path}: ${answer.text}`);
    return answer.body;
  };
  const post = async (path: string, body: Body): Promise<Body> => await send(`/ledgers/${DEMO_LEDGER}${path}`, body);
  const at = (day: number): string => new Date(FIRST_DAY + day * DAY_MS).toISOString();
  await send('/ledgers', { name: DEMO_LEDGER, clock: 'manual', now: at(0) });
  await post('/accounts', {
    account_number: 'SHOP-EUR',
    name: 'Roastery sales',
    currency: 'EUR',
    metadata: { kind: 'revenue' },
  });
  await post('/accounts', { account_number: 'SHOP-FEES', name: 'Fees', currency: 'EUR', metadata: { kind: 'fees' } });
  const numbers = CUSTOMERS.map((_, index) => `CUST-${1001 + index}`);
  for (const [index, name] of CUSTOMERS.entries()) {
    await post('/accounts', {
      account_number: numbers[index],
      name,
      currency: 'EUR',
      balance: 40_000 + 7_500 * index,
      metadata: { tier: index % 2 === 0 ? 'gold' : 'basic' },
    });
  }
  const random = drawFrom(2026);
  let transferId = '';
  for (let day = 1; day <= DAYS; day += 1) {
    await post('/clock', { now: at(day) });
    transferId = String((await post('/transfers', purchase(random, numbers, day)))['id']);
    if (day % 4 === 0) await post('/transfers', topUp(random, numbers));
    if (day % 15 === 0) await post('/transfers', { ...purchase(random, numbers, day), amount: 9_000_000 });
    if (day % 20 === 0)
      await post('/holds', { ...purchase(random, numbers, day), amount: 12_000, expires_in: 864_000 });
  }
  return { customer: numbers[0] ?? '', transferId };
}

function purchase(random: Random, numbers: readonly string[], day: number): Body {
  return {
    from_account: random.pick(numbers),
    to_account: 'SHOP-EUR',
    amount: random.whole(450, 9_900),
    currency: 'EUR',
    description: random.pick(ARTICLES),
    metadata: { order: `R-${2000 + day}` },
  };
}

function topUp(random: Random, numbers: readonly string[]): Body {
  return {
    from_account: '@external',
    to_account: random.pick(numbers),
    amount: 100 * random.whole(100, 300),
    currency: 'EUR',
    description: 'Top-up by card',
  };
}
