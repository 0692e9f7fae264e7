// The checks of archived months: they are closed months, in turn, each with its act of the audit log, and the entries that
// stay are those that the transfers imply.
import {
  ARCHIVED_ENDS,
  type Check,
  compare,
  equal,
  impliedEntries,
  must,
  type Part,
  rowsIn,
  type Scope,
} from './rules.ts';

function months(scope: Scope): string {
  return compare({
    from: `(
        select archived.*, closed.month as closed_month, closed.journal_number as closed_number,
          row_number() over (partition by archived.ledger_id order by archived.month) as place,
          (
            select count(*)
            from closed_months as earlier
            where earlier.ledger_id = archived.ledger_id and earlier.month <= archived.month
          ) as closed_place
        from ${rowsIn(scope, 'archived_months')} as archived
        left join ${rowsIn(scope, 'closed_months')} as closed
          on closed.ledger_id = archived.ledger_id and closed.month = archived.month
      ) as archived`,
    ledger: 'archived.ledger_id',
    journal: 'archived.journal_number',
    presence: must('closed month that is archived', 'archived.closed_month is not null', 'a closed month', `'none'`),
    facts: [
      equal('journal_number of an archived month', 'archived.closed_number', 'archived.journal_number'),
      equal('archived months up to one', 'archived.closed_place', 'archived.place'),
      must(
        'act of the audit log that archives the month',
        `exists (
          select
          from ${rowsIn(scope, 'audit_log')} as act
          where act.ledger_id = archived.ledger_id and act.action = 'ledger.month_archived' and act.journal_number is not null
            and act.details::jsonb ->> 'month' = to_char(archived.month, 'YYYY-MM')
            and act.details::jsonb ->> 'sha256' = encode(archived.digest, 'hex')
        )`,
        'one with its hash',
        `'none'`,
      ),
    ],
  });
}

function keptEntries(scope: Scope): string {
  return compare({
    from: `(
        select *, entry_number = max(entry_number) over (partition by ledger_id, account_number, currency) as is_last
        from ${impliedEntries(scope)} as implied
      ) as implied
      full join (
        select stored.*
        from ${rowsIn({ ...scope, archived: false }, 'entries')} as stored
        join ${ARCHIVED_ENDS} as ended on ended.ledger_id = stored.ledger_id and stored.journal_number <= ended.number
      ) as kept using (ledger_id, account_number, currency, entry_number)`,
    // Entries are deleted step by step. The last one of an account stays.
    where: 'kept.transfer_id is not null or implied.is_last',
    ledger: 'ledger_id',
    account: 'account_number',
    currency: 'currency',
    transfer: 'coalesce(implied.transfer_id, kept.transfer_id)',
    journal: 'coalesce(implied.journal_number, kept.journal_number)',
    facts: [
      must('entry that stays of archived months', 'kept.transfer_id is not null', 'the last one', `'none'`),
      equal('transfer of the entry', 'implied.transfer_id', 'kept.transfer_id'),
      equal('amount of the entry', 'implied.amount', 'kept.amount'),
      equal('running balance', 'implied.balance', 'kept.balance'),
      equal('journal number of the entry', 'implied.journal_number', 'kept.journal_number'),
    ],
  });
}

function statementsOf(scope: Scope, part: Part | null): readonly string[] {
  return part === null && scope.since === null && scope.archived === true
    ? [months(scope), keptEntries(scope)]
    : [months(scope)];
}

export const ARCHIVE_CHECKS: readonly Check[] = [
  { name: 'months.archived', looksAt: [], parts: ['sums'], statements: statementsOf },
];
