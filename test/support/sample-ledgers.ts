// A small ledger with every kind of row: all kinds of transfers, completed and failed ones, holds in every state. A
// second one has the same numbers, ids and keys, so that code which mixes up the two is found.
import type { Client } from 'pg';
import { idOf, Ledger, type Row } from './ledger-writer.ts';

export const JOURNAL_ROWS = 21;

/** In seconds. A service that runs on the ledger must not find its open holds due. */
const TEN_YEARS = 10 * 365 * 24 * 3600;

/** The ids of transfers (and of holds, which have the same) that tests refer to. */
export const IDS = {
  rent: idOf(4),
  holdPartly: idOf(40),
  holdVoided: idOf(41),
  holdExpired: idOf(42),
  holdOpen: idOf(43),
  holdFinal: idOf(44),
  holdWhole: idOf(45),
  holdDue: idOf(46),
  expiry: idOf(61),
  expiryPending: idOf(62),
  capture: idOf(50),
  group: idOf(90),
  groupFailed: idOf(91),
  groupMixed: idOf(92),
  groupPending: idOf(93),
  conversion: idOf(94),
} as const;

/** Settles everything that a sample ledger has but pending transfers, in JOURNAL_ROWS rows. */
export function fillLedger(ledger: Ledger): void {
  ledger.open('@external', 'USD');
  ledger.open(
    'ANN',
    'USD',
    { overdraft_limit: 500, metadata: { tier: 'gold' } },
    { email: 'ann@example.org', phone: '+49 30 1234', dateOfBirth: '1984-03-01' },
  );
  ledger.open('BOB', 'USD');
  ledger.open('CID', 'USD');
  ledger.open('OLD', 'USD');
  ledger.open('@external', 'EUR');
  ledger.open('EVE', 'EUR');
  ledger.settle([
    { from: '@external', to: 'ANN', amount: 10_000, description: 'Opening balance' },
    { from: '@external', to: 'BOB', amount: 5000, description: 'Opening balance' },
    { from: '@external', to: 'EVE', amount: 700, currency: 'EUR' },
  ]);
  ledger.settle([
    { from: 'ANN', to: 'BOB', amount: 250, requestId: 'rent-1', description: 'Rent, café ☕', metadata: { flat: '7' } },
    { from: 'BOB', to: 'CID', amount: 100 },
    { from: 'NEMO', to: 'NOSUCH', amount: 1, currency: null, code: 'source_not_found' },
    { from: 'CID', to: 'BOB', amount: 9999, code: 'insufficient_funds', requestId: 'greedy' },
    { from: 'BOB', to: 'ANN', amount: 5, ifFromEntryNumber: 3, ifMinAvailableAfter: 1000 },
  ]);
  ledger.change('OLD', 'USD', { status: 'closed' });
  ledger.settle(
    [
      { kind: 'hold', from: 'ANN', to: 'BOB', amount: 1000, expiresIn: TEN_YEARS },
      { kind: 'hold', from: 'ANN', to: 'CID', amount: 300 },
      { kind: 'hold', from: 'BOB', to: 'CID', amount: 200, expiresIn: 1 },
      { kind: 'hold', from: 'BOB', to: 'ANN', amount: 50, description: 'Stays open' },
      { kind: 'hold', from: 'ANN', to: 'BOB', amount: 80 },
      { kind: 'hold', from: 'ANN', to: 'BOB', amount: 60 },
      { kind: 'hold', from: 'CID', to: 'BOB', amount: 20, expiresIn: TEN_YEARS + 1 },
    ],
    40,
  );
  ledger.settle(
    [
      { kind: 'capture', from: 'ANN', to: 'BOB', amount: 400, parent: IDS.holdPartly },
      { kind: 'capture', from: 'ANN', to: 'BOB', amount: 30, parent: IDS.holdFinal, finalCapture: true },
      { kind: 'capture', from: 'ANN', to: 'BOB', amount: 60, parent: IDS.holdWhole },
    ],
    50,
  );
  ledger.settle(
    [
      { kind: 'void', from: 'ANN', to: 'CID', amount: 300, parent: IDS.holdVoided },
      { kind: 'expiry', from: 'BOB', to: 'CID', amount: 200, parent: IDS.holdExpired, description: 'Hold expired' },
    ],
    60,
  );
  ledger.change('ANN', 'USD', { metadata: { tier: 'platinum' } }, { name: 'Ann Example', phone: '+49 30 1234' });
  ledger.settle(
    [
      { kind: 'capture', from: 'ANN', to: 'CID', amount: null, parent: IDS.holdVoided, code: 'hold_not_open' },
      { kind: 'capture', from: 'ANN', to: 'BOB', amount: 100, parent: IDS.holdPartly },
      { kind: 'reversal', from: 'BOB', to: 'ANN', amount: 100, parent: IDS.rent },
    ],
    70,
  );
  ledger.settle([
    { kind: 'reversal', from: 'BOB', to: 'ANN', amount: 50, parent: IDS.rent },
    { kind: 'reversal', from: 'BOB', to: 'ANN', amount: 400, parent: IDS.capture, description: 'Taken back' },
    { kind: 'reversal', from: 'BOB', to: 'ANN', amount: 999, parent: IDS.rent, code: 'exceeds_original' },
  ]);
  const member = (id: string, position: number, atomic: boolean) => ({ group: { id, position, atomic } });
  ledger.settle(
    [
      { from: 'ANN', to: 'BOB', amount: 1, ...member(IDS.group, 0, true) },
      { from: 'BOB', to: 'CID', amount: 2, ...member(IDS.group, 1, true) },
      { from: 'CID', to: 'ANN', amount: 3, ...member(IDS.group, 2, true) },
      { from: 'ANN', to: 'BOB', amount: 1, ...member(IDS.groupFailed, 0, true), code: 'group_failed' },
      { from: 'CID', to: 'BOB', amount: 99_999, ...member(IDS.groupFailed, 1, true), code: 'insufficient_funds' },
      { from: 'BOB', to: 'CID', amount: 4, ...member(IDS.groupMixed, 0, false) },
    ],
    100,
  );
  ledger.settle([
    { from: 'CID', to: 'BOB', amount: 99_999, ...member(IDS.groupMixed, 1, false), code: 'insufficient_funds' },
    { from: 'ANN', to: '@external', amount: 25, description: 'Paid out', orderedBy: KEY, approvedBy: OTHER_KEY },
  ]);
  const converted = (position: number) => ({ ...member(IDS.conversion, position, true), rate: 'EUR/USD 1.1' });
  ledger.settle([
    { from: 'EVE', to: '@external', amount: 70, currency: 'EUR' },
    { from: 'EVE', to: '@external', amount: 10, currency: 'EUR', ...converted(0) },
    { from: '@external', to: 'ANN', amount: 11, ...converted(1) },
  ]);
  ledger.settle([{ from: 'ANN', to: 'CID', amount: 11 }], undefined, [
    { accountNumber: 'BOB', currency: 'USD', person: { name: 'Bob', phone: '030 5678' } },
    { accountNumber: 'CID', currency: 'USD', person: { name: 'Cid' } },
    { accountNumber: 'CID', currency: 'USD', person: { name: 'Cid the second' }, orderedBy: KEY },
    { accountNumber: 'OLD', currency: 'USD', person: null },
  ]);
  ledger.act('key.created', 'cli:owner', KEY);
}

/** The ids of keys. */
const KEY = 'keyanna00001';
const OTHER_KEY = 'keyben000001';

export const MAIN = { id: 1, name: 'main', factor: 1 };
export const SHOP = { id: 2, name: 'shop', factor: 3 };

/** Writes a ledger into a migrated database. Another ledger than `main` is created. */
export async function writeLedger(client: Pick<Client, 'query'>, named = MAIN): Promise<void> {
  const ledger = new Ledger(named);
  fillLedger(ledger);
  if (ledger.journal.length !== JOURNAL_ROWS) throw new Error(`The ledger has ${ledger.journal.length} rows.`);
  await insertLedger(client, ledger);
}

/** Inserts a ledger into a migrated database, with its pending transfers. */
export async function insertLedger(client: Pick<Client, 'query'>, ledger: Ledger): Promise<void> {
  const lease = idOf(900 + ledger.id);
  const pending = (id: string, fields: Row) => ({
    kind: 'transfer',
    created_at: ledger.instant(99).text,
    id,
    lease_id: lease,
    adoptions: 0,
    lone_deaths: 0,
    on_trial: false,
    ...fields,
  });
  const tables: Record<string, Row[]> = {
    accounts: [...ledger.accounts.values()],
    personal_keys: [...ledger.keys.values()],
    account_changes: ledger.changes,
    transfers: ledger.transfers,
    entries: ledger.entries,
    journal: ledger.journal,
    audit_log: ledger.acts,
    approvals: [
      {
        id: idOf(950),
        kind: 'account',
        state: 'pending',
        requested_by: KEY,
        idempotency_key: 'approval:1',
        request: { accountNumber: 'ANN', overdraftLimit: String(7 * ledger.factor) },
        created_at: ledger.instant(20).text,
        expires_at: '2100-01-01T00:00:00Z',
      },
    ],
    holds: [...ledger.holds.values()],
    reversed_amounts: [...ledger.reversed.values()],
    pending_transfers: [
      pending(idOf(200), { amount: 7 * ledger.factor, from_account: 'ANN', to_account: 'BOB' }),
      pending(idOf(201), {
        amount: 8 * ledger.factor,
        from_account: 'ANN',
        to_account: 'BOB',
        group_id: IDS.groupPending,
        group_position: 0,
        atomic: true,
      }),
      pending(idOf(202), {
        amount: 9 * ledger.factor,
        from_account: 'BOB',
        to_account: 'ANN',
        group_id: IDS.groupPending,
        group_position: 1,
        atomic: true,
      }),
      pending(IDS.expiryPending, {
        kind: 'expiry',
        from_account: 'CID',
        to_account: 'BOB',
        currency: 'USD',
        parent_id: IDS.holdDue,
      }),
    ],
    idempotency_keys: [IDS.rent, IDS.group, IDS.groupPending, idOf(200)].map((id, index) => ({
      created_at: ledger.instant(index).text,
      transfer_id: id,
      key: `key-${index}`,
      fingerprint: `\\x${'ab'.repeat(32)}`,
    })),
  };
  const intake = ledger.journal.reduce((sum, row) => sum + Number(row['intake_count']), 0);
  const accepted = intake + (tables['pending_transfers']?.length ?? 0);
  // An earlier version counted one of them.
  const earlier = 1;
  tables['ledger_leases'] = [{ lease_id: lease, session: 1, closed: false, accepted_count: accepted - earlier }];
  for (const rows of Object.values(tables)) for (const row of rows) row['ledger_id'] = ledger.id;
  tables['leases'] = [{ id: lease, session: 1, closed: false, accepted_count: earlier }];
  tables['heartbeats'] = [{ lease_id: lease, beat: 1, written_at: ledger.instant(99).text }];
  for (const [table, rows] of Object.entries(tables)) {
    await client.query(`insert into ${table} select * from jsonb_populate_recordset(null::${table}, $1::jsonb)`, [
      JSON.stringify(rows),
    ]);
  }
  if (ledger.id !== MAIN.id) {
    await client.query('insert into ledgers (id, name) values ($1, $2)', [ledger.id, ledger.name]);
    await client.query('insert into journal_head (ledger_id) values ($1)', [ledger.id]);
  }
}

/** Rewrites the journal of SHOP as a superuser may: later by a microsecond, with all hashes made again. */
export async function rewriteShop(client: Client): Promise<void> {
  await client.query('set session_replication_role = replica');
  await client.query(`
    do $$
    declare
      earlier bytea := decode(repeat('00', 32), 'hex');
      line journal;
    begin
      for line in select * from journal where ledger_id = 2 order by number loop
        update journal
        set previous_hash = earlier,
          hash = chain_hash(earlier, 'shop', number, settled_at + interval '1 microsecond', transfer_count, change_count, digest),
          settled_at = settled_at + interval '1 microsecond'
        where ledger_id = 2 and number = line.number
        returning hash into earlier;
      end loop;
      update transfers set completed_at = completed_at + interval '1 microsecond' where ledger_id = 2;
    end $$`);
}
