// A ledger with enough rows that a statement which reads a table whole is found. Its rows need not agree with each other.
import type { TestDatabase } from '../support/database.ts';
import { encrypt, keyOf } from '../support/personal-data.ts';

const ACCOUNTS = 5000;
export const TRANSFERS = 20_000;
/** How many transfers a journal row covers. */
const JOB = 10;

/** The numbers of a hold, whose id is also that of a group, and of a transfer that is reversed. */
export const HOLD = 20;
export const REVERSED = HOLD + 3;

/** A ledger with a test clock. */
export const TEST = { id: 3001, name: 'test' };

/** The number of the account whose personal data can be read. */
export const NAMED = 7;

/** The id of a transfer by its number; of a pending one from TRANSFERS on. */
export function idOf(number: number): string {
  return `0192f0c4-0000-7000-8000-${String(number).padStart(12, '0')}`;
}

export function leaseOf(number: number): string {
  return `0192f0c4-1111-7000-8000-${String(number).padStart(12, '0')}`;
}

export function accountOf(number: number): string {
  return `A-${number}`;
}

const id = (number: string) => `('0192f0c4-0000-7000-8000-' || lpad((${number})::text, 12, '0'))::uuid`;
const lease = (number: string) => `('0192f0c4-1111-7000-8000-' || lpad((${number})::text, 12, '0'))::uuid`;
const JOURNAL_NUMBER = `1 + i / ${JOB}`;
const instant = (number: string) => `timestamptz '2026-11-01T00:00:00Z' + (${number}) * interval '1 second'`;

// Each account sends and receives in turn, so it has an even number of entries. Of twenty transfers, one is a hold and one its capture,
// one fails, one is reversed, and two are a group.
const FILL = [
  `insert into accounts (ledger_id, account_number, currency, balance, entry_count, status, metadata)
   select 1, 'A-' || i, case i % 100 when 51 then 'EUR' else 'USD' end, 1000000, ${(2 * TRANSFERS) / ACCOUNTS},
     case i % 100 when 50 then 'frozen' else 'open' end, jsonb_build_object('number', i::text)
   from generate_series(0, ${ACCOUNTS - 1}) as i
   union all
   select 1, '@external', currency, 0, 0, 'open', '{}' from unnest(array['EUR', 'USD']) as currency`,
  `insert into personal_keys (ledger_id, account_number, currency, key)
   select 1, 'A-' || i, 'USD', sha256('key') from generate_series(0, ${ACCOUNTS - 1}) as i`,
  `insert into account_words (ledger_id, account_number, word)
   select 1, 'A-' || i, word from generate_series(0, ${ACCOUNTS - 1}) as i cross join lateral unnest(array['NAME' || i, 'OWNER']) as word`,
  `insert into account_changes (ledger_id, change_number, journal_number, account_number, currency, seal)
   select 1, 1, ${JOURNAL_NUMBER}, 'A-' || i, 'USD', sha256('seal') from generate_series(0, ${ACCOUNTS - 1}) as i`,
  `insert into transfers (
     ledger_id, id, kind, from_account, to_account, amount, currency, status, failure_code, parent_id, group_id, group_position, atomic,
     final_capture, expires_in, request_id, metadata, created_at, completed_at, journal_number, journal_position, from_entry_number,
     to_entry_number
   )
   select 1, ${id('i')}, case i % 20 when 0 then 'hold' when 1 then 'capture' when 7 then 'reversal' else 'transfer' end,
     'A-' || i % ${ACCOUNTS}, 'A-' || (i + 1) % ${ACCOUNTS}, 1, 'USD', case i % 20 when 2 then 'failed' else 'completed' end,
     case i % 20 when 2 then 'insufficient_funds' end, case when i % 20 in (1, 7) then ${id('i - i % 20')} end,
     case when i % 20 in (4, 5) then ${id('i - i % 20')} end, case when i % 20 in (4, 5) then i % 20 - 4 end,
     case when i % 20 in (4, 5) then true end, case i % 20 when 1 then false end, case i % 20 when 0 then 60 end, 'request-' || i,
     jsonb_build_object('number', i::text), ${instant(JOURNAL_NUMBER)}, ${instant(JOURNAL_NUMBER)}, ${JOURNAL_NUMBER},
     1 + i % ${JOB}, case when i % 20 not in (0, 2) then 1 + 2 * (i / ${ACCOUNTS}) end,
     case when i % 20 not in (0, 2) then 2 + 2 * (i / ${ACCOUNTS}) end
   from generate_series(0, ${TRANSFERS - 1}) as i`,
  `insert into entries (ledger_id, entry_number, amount, balance, journal_number, transfer_id, account_number, currency)
   select 1, side + 1 + 2 * (i / ${ACCOUNTS}), 2 * side - 1, 1000, ${JOURNAL_NUMBER}, ${id('i')}, 'A-' || (i + side) % ${ACCOUNTS}, 'USD'
   from generate_series(0, ${TRANSFERS - 1}) as i cross join generate_series(0, 1) as side`,
  `insert into journal (
     ledger_id, number, settled_at, transfer_count, intake_count, change_count, digest, previous_hash, hash
   )
   select 1, number, ${instant('number')}, ${JOB}, 0, 0, sha256('digest'), sha256('previous'), sha256('hash')
   from generate_series(1, ${TRANSFERS / JOB}) as number`,
  // The accounts have all entries of a turn when it is over.
  `insert into sealed_balances (ledger_id, journal_number, account_number, currency, entry_number, balance)
   select 1, turn * ${ACCOUNTS / JOB}, 'A-' || i, 'USD', 2 * turn, 1000
   from generate_series(0, ${ACCOUNTS - 1}) as i, generate_series(1, 3) as turn`,
  `insert into closed_months (ledger_id, month, journal_number, account_count, journal_hash, digest, previous_hash, hash)
   select 1, date '2000-01-01' + n * interval '1 month', 3 + 4 * n, 0, sha256('end'), sha256('digest'), sha256('previous'), sha256('hash')
   from generate_series(0, 299) as n`,
  `insert into sealed_totals (ledger_id, journal_number, currency, account_count, positive, negative)
   select 1, 3 + 4 * n, currency, 1, 0, 0 from generate_series(0, 299) as n, unnest(array['EUR', 'USD']) as currency`,
  // Of other ledgers, so that reads of this one find the entries that they look for.
  `insert into archived_months (ledger_id, month, journal_number, digest)
   select ledger, date '2000-01-01' + n * interval '1 month', 3 + 4 * n, sha256('books')
   from generate_series(2, 1000) as ledger cross join generate_series(0, 9) as n`,
  `insert into holds (ledger_id, id, amount, created_at, expires_at, from_account, to_account, currency)
   select 1, ${id('i')}, 1, now(), case i % 40 when 0 then now() + interval '1 day' else now() end, 'A-' || i % ${ACCOUNTS},
     'A-' || (i + 1) % ${ACCOUNTS}, 'USD'
   from generate_series(0, ${TRANSFERS - 1}, 20) as i`,
  `update holds set state = 'voided', released = amount where expires_at > now()`,
  `insert into reversed_amounts (ledger_id, transfer_id, amount, reversed)
   select 1, ${id('i')}, 2, 1 from generate_series(3, ${TRANSFERS - 1}, 20) as i`,
  `insert into idempotency_keys (ledger_id, transfer_id, key, fingerprint)
   select 1, ${id('i')}, 'key-' || i, sha256('request') from generate_series(0, ${TRANSFERS - 1}) as i`,
  `insert into leases (id) select ${lease('i')} from generate_series(0, 1) as i`,
  `insert into ledger_leases (ledger_id, lease_id, session, accepted_count)
   select ledger, ${lease('i')}, 1, case ledger when 1 then ${ACCOUNTS} else 0 end
   from generate_series(0, 1) as i cross join generate_series(1, 1000) as ledger`,
  `insert into heartbeats (lease_id) select ${lease('i')} from generate_series(0, 1) as i`,
  `insert into pending_transfers (ledger_id, id, lease_id, from_account, to_account, amount, group_id, group_position, atomic)
   select 1, ${id(`${TRANSFERS} + i`)}, ${lease('i % 2')}, 'A-' || i, 'A-0', 1, ${id(`${TRANSFERS} + i`)}, 0, true
   from generate_series(1, ${ACCOUNTS - 1}) as i`,
  // So that a ledger is not all there is.
  `insert into ledgers (id, name) select i, 'ledger-' || i from generate_series(2, 3000) as i`,
  `insert into journal_head (ledger_id) select i from generate_series(2, 3000) as i`,
  `insert into ledgers (id, name, clock_start) values (${TEST.id}, '${TEST.name}', '2026-01-01T00:00:00Z')`,
  `insert into journal_head (ledger_id, opened_at, clock)
   select id, clock_start, clock_start from ledgers where id = ${TEST.id}`,
];

export async function fillLedger({ query }: Pick<TestDatabase, 'query'>): Promise<void> {
  for (const statement of FILL) await query(statement);
  const owner = { ledger: 1, account: accountOf(NAMED), currency: 'USD' };
  await query('update accounts set personal_data = $1 where account_number = $2', [
    encrypt(owner, { name: 'Ann' }),
    owner.account,
  ]);
  await query('update personal_keys set key = $1 where account_number = $2', [keyOf(owner), owner.account]);
}
