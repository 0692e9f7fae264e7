// Sends the model's requests to a running service, and reads the books in the model's terms.
import { z } from 'zod';
import type { TestDatabase } from '../support/database.ts';
import { request } from '../support/service.ts';
import type { Account, Answer, Command, Ended, Hold, Request, Terms } from './model.ts';

/** A map in both directions: the name in the test, and the id of the service. */
export class Names {
  readonly #ids = new Map<string, string>();
  readonly #names = new Map<string, string>();

  add(name: string, id: string): void {
    const known = this.#names.get(id);
    if (known !== undefined && known !== name) throw new Error(`${known} and ${name} were given the same id ${id}.`);
    this.#ids.set(name, id);
    this.#names.set(id, name);
  }

  /** The id; an unused one for an unknown name. */
  idOf(name: string): string {
    return this.#ids.get(name) ?? '00000000-0000-7000-8000-000000000000';
  }

  nameOf(id: string): string {
    return this.#names.get(id) ?? `unknown ${id}`;
  }
}

export const movement = z.object({
  id: z.string(),
  status: z.enum(['completed', 'failed']),
  failure_code: z.string().nullable(),
  amount: z.int().nullable(),
  currency: z.string().nullable(),
  completed_at: z.string().nullable(),
  group_id: z.string().nullable(),
});
const group = z.object({ group_id: z.string(), transfers: z.array(movement) });
const account = z.object({
  status: z.enum(['open', 'receive_only', 'frozen', 'closed']),
  balance: z.int(),
  held: z.int(),
  overdraft_limit: z.int(),
  entry_count: z.int(),
});
const problem = z.object({ code: z.string() });

/** A movement in an answer. */
export type Reported = z.infer<typeof movement>;

export type Received = {
  answer: Answer;
  /** Every movement that the answer reported as stored; none for a dry run. */
  reported: Reported[];
};

/**
 * Sends requests at the same time, each to one of the services in turn, and waits for their ends. New things get their
 * names once all have answered, so that a replay is reported by the name of the original.
 */
export async function send(
  services: readonly { url: string }[],
  requests: readonly Request[],
  names: Names,
): Promise<Received[]> {
  const raw = await Promise.all(
    requests.map(async (sent, index) => {
      const service = services[index % services.length];
      if (!service) throw new Error('There is no service to send to.');
      const { method, path, body } = toHttp(sent, names);
      const headers = { prefer: 'wait=30', ...(sent.key !== null && { 'idempotency-key': sent.key }) };
      return { sent, received: await request(service, method, path, body, headers) };
    }),
  );
  const parsed = raw.map(({ sent, received }) => ({ sent, ...parse(sent, received) }));
  for (const { sent, answer, reported, id } of parsed) {
    if (answer.says !== 'ended' || answer.replayed || sent.dryRun) continue;
    names.add(sent.command.name, id);
    if (sent.command.type === 'group') {
      for (const [index, one] of reported.entries()) names.add(`${sent.command.name}.${index}`, one.id);
    }
  }
  return parsed.map(({ sent, answer, reported, id }) => {
    if (answer.says !== 'ended') return { answer, reported: [] };
    return sent.dryRun ? { answer, reported: [] } : { answer: { ...answer, of: names.nameOf(id) }, reported };
  });
}

function parse(
  { command, dryRun }: Request,
  received: { status: number; headers: Record<string, string | string[] | undefined>; body: Record<string, unknown> },
): { answer: Answer; reported: Reported[]; id: string } {
  const { status, headers, body } = received;
  const none = { reported: [], id: '' };
  if (status >= 400) return { answer: { says: 'refused', status, code: problem.parse(body).code }, ...none };
  if (command.type === 'close') return { answer: { says: 'closed' }, ...none };
  if (command.type === 'change') {
    const { status: now, balance, held, overdraft_limit: limit, entry_count: entries } = account.parse(body);
    const changed = {
      status: now,
      balance: BigInt(balance),
      held: BigInt(held),
      limit: BigInt(limit),
      entries: BigInt(entries),
    };
    return { answer: { says: 'changed', account: changed }, ...none };
  }
  if (status !== 200) throw new Error(`An answer of ${status} has no outcome: ${JSON.stringify(body)}`);
  if (dryRun !== (body['dry_run'] === true))
    throw new Error(`The dry_run of the answer does not match the request: ${JSON.stringify(body)}`);
  const reported = command.type === 'group' ? group.parse(body).transfers : [movement.parse(body)];
  const id = command.type === 'group' ? group.parse(body).group_id : (reported[0]?.id ?? '');
  const replayed = headers['idempotency-replayed'] === 'true';
  return { answer: { says: 'ended', of: command.name, replayed, movements: reported.map(toEnded) }, reported, id };
}

function toEnded({ status, failure_code: code, amount, currency }: Reported): Ended {
  return { status, code, amount: amount === null ? null : BigInt(amount), currency };
}

type Http = { method: 'POST' | 'PATCH' | 'DELETE'; path: string; body?: unknown };

function toHttp({ command, dryRun }: Request, names: Names): Http {
  const { method, path, body } = toPath(command, names);
  return { method, path: dryRun ? `${path}?dry_run=true` : path, body };
}

function toPath(command: Command, names: Names): Http {
  switch (command.type) {
    case 'transfer':
      return { method: 'POST', path: '/transfers', body: toBody(command.terms) };
    case 'group':
      return {
        method: 'POST',
        path: '/transfers',
        body: { atomic: command.atomic, ...defined({ total: command.total }), transfers: command.legs.map(toBody) },
      };
    case 'hold':
      return {
        method: 'POST',
        path: '/holds',
        body: { ...toBody(command.terms), ...defined({ expires_in: command.expiresIn }) },
      };
    case 'capture':
      return {
        method: 'POST',
        path: `/holds/${names.idOf(command.hold)}/capture`,
        body: { ...defined({ amount: command.amount }), final: command.final },
      };
    case 'void':
      return { method: 'POST', path: `/holds/${names.idOf(command.hold)}/void` };
    case 'reversal':
      return {
        method: 'POST',
        path: `/transfers/${names.idOf(command.original)}/reversals`,
        body: defined({ amount: command.amount }),
      };
    case 'change':
      return {
        method: 'PATCH',
        path: `/accounts/${command.account}`,
        body: defined({ overdraft_limit: command.limit, status: command.status }),
      };
    case 'close':
      return { method: 'DELETE', path: `/accounts/${command.account}` };
  }
}

function toBody({ from, to, amount, part, currency, conditions }: Terms): Record<string, unknown> {
  const { entryNumber = null, minAvailable = null } = conditions ?? {};
  return {
    from_account: from,
    to_account: to,
    ...(part === undefined && { amount: Number(amount) }),
    ...(part === 'rest' && { remainder: {} }),
    ...(typeof part === 'object' &&
      ('rate' in part
        ? { conversion: { of: 0, rate: part.rate[2] } }
        : { share: { basis_points: Number(part.basisPoints) } })),
    ...defined({ currency }),
    ...(conditions && { if: defined({ from_entry_number: entryNumber, min_available_after: minAvailable }) }),
  };
}

/** Omits nulls, and renders money as in JSON. */
function defined(fields: Record<string, string | number | bigint | null>): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) =>
      value === null ? [] : [[name, typeof value === 'bigint' ? Number(value) : value]],
    ),
  );
}

/** The books that the model predicts, in a comparable form. */
export type Snapshot = {
  accounts: Record<string, Account>;
  holds: Record<string, Hold>;
  reversed: Record<string, bigint>;
};

/** The books of some currencies, which no other test may use. */
export async function readBooks(
  database: TestDatabase,
  prefix: string,
  currencies: readonly string[],
  names: Names,
): Promise<Snapshot> {
  const accounts = await database.query<Account & { name: string }>(
    `select case account_number when '@external' then account_number || ' ' || currency else account_number end as name,
       currency, status, balance, held, overdraft_limit as limit, entry_count as entries
     from accounts
     where starts_with(account_number, $1) or (account_number = '@external' and currency = any($2))
     order by 1`,
    [prefix, currencies],
  );
  const holds = await database.query<Hold & { id: string }>(
    `select id, from_account as from, to_account as to, currency, state, amount, captured, released
     from holds
     where currency = any($1) and (starts_with(from_account, $2) or starts_with(to_account, $2))`,
    [currencies, prefix],
  );
  const reversed = await database.query<{ id: string; reversed: bigint }>(
    `select transfer_id as id, reversed
     from reversed_amounts
     join transfers on transfers.id = transfer_id
     where starts_with(from_account, $1) or starts_with(to_account, $1)`,
    [prefix],
  );
  return {
    accounts: Object.fromEntries(accounts.map(({ name, ...fields }) => [name, fields])),
    holds: Object.fromEntries(holds.map(({ id, ...fields }) => [names.nameOf(id), fields])),
    reversed: Object.fromEntries(reversed.map(({ id, reversed }) => [names.nameOf(id), reversed])),
  };
}
