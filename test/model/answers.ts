// Compares answers with stored rows.
import { AssertionError } from 'node:assert';
import type { TestDatabase } from '../support/database.ts';
import type { Reported } from './driver.ts';

const SHOWN_MAX = 3;

/** Throws an AssertionError if an answer about a transfer differs from its stored row. */
export async function checkReported(
  { query }: Pick<TestDatabase, 'query'>,
  reported: readonly Reported[],
): Promise<void> {
  const rows = await query(
    `select reported.*, transfers.status as is, transfers.failure_code as is_code, transfers.amount::text as is_amount
     from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::timestamptz[], $7::uuid[])
       as reported (id, status, failure_code, amount, currency, completed_at, group_id)
     left join transfers using (id)
     where (reported.status, reported.failure_code, reported.amount, reported.currency, reported.completed_at, reported.group_id)
       is distinct from (transfers.status, transfers.failure_code, transfers.amount, transfers.currency,
         transfers.completed_at, transfers.group_id)
     limit ${SHOWN_MAX}`,
    [
      reported.map(({ id }) => id),
      reported.map(({ status }) => status),
      reported.map(({ failure_code: code }) => code),
      reported.map(({ amount }) => amount),
      reported.map(({ currency }) => currency),
      reported.map(({ completed_at: at }) => at),
      reported.map(({ group_id: group }) => group),
    ],
  );
  if (rows.length > 0) {
    throw new AssertionError({
      message: `Answers that do not match the stored rows: ${rows.map(({ id, is, is_code: code }) => `${id} is ${is} ${code}`).join(', ')}`,
    });
  }
}
