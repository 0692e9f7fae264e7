// Steps that the tests of a failover share.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { request, type Service, startProgram } from '../support/service.ts';
import type { Member, Replicated } from '../support/standby.ts';
import { until } from '../support/until.ts';
import { type Order, times } from './callers.ts';

/** How soon after the promotion the service is back by itself. */
export const BACK_MS = 15_000;
/** How soon a service finds that another host was promoted, though its own still answers. */
export const LEFT_MS = 25_000;
/** Why a test of two servers is skipped; CI installs them. */
export const MISSING = 'PostgreSQL is not installed on this machine.';

/** Whether the last session of the service is on this server. */
export async function uses(service: Service, { port }: Member): Promise<boolean> {
  const { text } = await request(service, 'GET', '/metrics');
  return text.includes(`\ngopherpay_database_host_in_use{host="127.0.0.1:${port}"} 1\n`);
}

export async function countTransfers(server: Member): Promise<number | undefined> {
  const [row] = await server.query<{ count: number }>(
    `select (select count(*) from transfers)::integer + (select count(*) from pending_transfers)::integer as count`,
  );
  return row?.count;
}

export async function countSettled(server: Member): Promise<number> {
  return (await server.query('select from transfers')).length;
}

export function makeOrders(accounts: readonly string[], count: number): Order[] {
  return times(count, (index) => ({
    from_account: accounts[index % accounts.length] ?? '',
    to_account: accounts[(index + 1) % accounts.length] ?? '',
    amount: 7,
  }));
}

export async function awaitSettled(server: Member): Promise<void> {
  const isSettled = async () => (await server.query('select 1 from pending_transfers limit 1')).length === 0;
  await until(isSettled, { timeoutMs: BACK_MS, what: 'nothing to be pending' });
}

/** The last row of the journal, as `audit --expect` takes it. */
export async function readHead(server: Member): Promise<string> {
  const [head] = await server.query<{ number: bigint; hash: string }>(
    `select number, encode(hash, 'hex') as hash from journal_ends where ledger_id = 1`,
  );
  assert.ok(head);
  return `${head.number}:${head.hash}`;
}

export async function runAudit(t: TestContext, { readerUrl }: Replicated, checkpoint: string | null) {
  const expected = checkpoint === null ? [] : [`--expect=${checkpoint}`];
  const audit = await startProgram(t, { args: ['audit', ...expected], database: { url: readerUrl } });
  return { exit: await audit.exited, output: audit.output() };
}

export function ms(since: number): number {
  return Math.round(performance.now() - since);
}
