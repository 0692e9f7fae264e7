// Sends every kind of request to a service until it is stopped, from several callers: what an audit may meet.
import { randomUUID } from 'node:crypto';
import { onEnd, type Scope } from './cleanup.ts';
import { drawFor } from './random.ts';
import { type Answer, request } from './service.ts';

type Target = { url: string };
type Draw = ReturnType<typeof drawFor>;
type Body = { id?: string; status?: string };

export type VariedLoad = {
  /** How many answers there were, by the kind of the request and the first digit of the status. */
  readonly answers: () => ReadonlyMap<string, number>;
  /** Resolves when every caller has its last answer. */
  readonly stop: () => Promise<void>;
};

const CALLERS = 4;
const ACCOUNTS = 20;
/** An audit reads each ledger, so a few must do. */
const LEDGERS_MAX = 10;
/** Old holds and transfers are forgotten, so that callers race for recent ones. */
const RECENT_MAX = 50;

export async function startVariedLoad(
  scope: Scope & Parameters<typeof drawFor>[0],
  service: Target,
): Promise<VariedLoad> {
  const draw = drawFor(scope);
  const accounts: string[] = [];
  for (let index = 0; index < ACCOUNTS; index += 1) accounts.push(await open(service, `ACC${index}`));
  const answers = new Map<string, number>();
  const kinds = requestsOf(service, draw, { accounts, holds: [], transfers: [] });
  const ending = new AbortController();
  const call = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const [kind, send] = draw.pick(kinds);
      const { status } = await send();
      const key = `${kind} ${Math.floor(status / 100)}`;
      answers.set(key, (answers.get(key) ?? 0) + 1);
    }
  };
  const callers = Promise.all(Array.from({ length: CALLERS }, call));
  const stop = async (): Promise<void> => {
    ending.abort();
    await callers;
  };
  onEnd(scope, stop);
  return { answers: () => answers, stop };
}

async function open(service: Target, number: string): Promise<string> {
  await request(service, 'POST', '/accounts', { account_number: number, name: number, balance: 10_000 });
  return number;
}

type Recent = { readonly accounts: string[]; readonly holds: string[]; readonly transfers: string[] };

function requestsOf(
  service: Target,
  draw: Draw,
  { accounts, holds, transfers }: Recent,
): (readonly [string, () => Promise<Answer<Body>>])[] {
  const post = async (path: string, body: unknown, wait = false): Promise<Answer<Body>> =>
    await request<Body>(service, 'POST', path, body, {
      'Idempotency-Key': randomUUID(),
      ...(wait && { Prefer: 'wait=10' }),
    });
  const remember = (list: string[], { body }: Answer<Body>): void => {
    if (body.id === undefined || body.status !== 'completed') return;
    list.push(body.id);
    if (list.length > RECENT_MAX) list.shift();
  };
  const order = (): { from_account: string; to_account: string; amount: number } => {
    const [from_account, to_account] = draw.pickTwo(accounts);
    return { from_account, to_account, amount: draw.whole(1, 300) };
  };
  const recent = (list: string[]): string => (list.length === 0 ? randomUUID() : draw.pick(list));
  let opened = 0;
  let ledgers = 0;
  return [
    ['transfer', async () => await post('/transfers', order())],
    [
      'transfer that is waited for',
      async () => {
        const answer = await post('/transfers', order(), true);
        remember(transfers, answer);
        return answer;
      },
    ],
    ['group', async () => await post('/transfers', { transfers: [order(), order()], atomic: draw.whole(0, 1) === 1 })],
    [
      'hold',
      async () => {
        const expires = draw.whole(0, 1) === 1 ? { expires_in: 1 } : {};
        const answer = await post('/holds', { ...order(), ...expires }, true);
        remember(holds, answer);
        return answer;
      },
    ],
    ['capture', async () => await post(`/holds/${recent(holds)}/capture`, { amount: draw.whole(1, 50) })],
    ['void', async () => await post(`/holds/${recent(holds)}/void`, {})],
    ['reversal', async () => await post(`/transfers/${recent(transfers)}/reversals`, { amount: draw.whole(1, 100) })],
    [
      'opening',
      async () => {
        opened += 1;
        return await post('/accounts', { account_number: `NEW${opened}`, name: 'New', balance: 1 });
      },
    ],
    [
      'ledger',
      async () => {
        ledgers = Math.min(ledgers + 1, LEDGERS_MAX);
        return await request<Body>(service, 'POST', '/ledgers', { name: `ledger-${ledgers}` });
      },
    ],
    [
      'change',
      async () =>
        await request<Body>(service, 'PATCH', `/accounts/${draw.pick(accounts)}`, {
          overdraft_limit: draw.whole(0, 500),
        }),
    ],
    [
      'erasure',
      async () => await request<Body>(service, 'DELETE', `/accounts/NEW${draw.whole(1, opened + 1)}/personal-data`),
    ],
  ];
}
