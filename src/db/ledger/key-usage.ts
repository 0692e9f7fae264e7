// How much each key with a daily bound has ordered. The day is the database's, in UTC.
import type { Queryable } from '../connection/connect.ts';

const TODAY = `(now() at time zone 'UTC')::date`;

/** An amount that was added to what a key has ordered on a day. */
export type ReservedUsage = { readonly keyId: string; readonly amount: bigint; readonly day: string };

/** Adds an amount, in minor units, to what a key has ordered today. Returns null if that would be more than `max`. */
export async function reserveUsage(
  connection: Queryable,
  keyId: string,
  { amount, max }: { amount: bigint; max: bigint },
): Promise<ReservedUsage | null> {
  const reserved = await connection.query<{ day: string }>({
    name: 'reserve usage',
    text: `
      insert into key_usage as usage (key_id, day, amount)
      select $1::text, ${TODAY}, $2::bigint
      where $2::bigint <= $3::bigint
      on conflict (key_id, day) do update set amount = usage.amount + excluded.amount
      where usage.amount + excluded.amount <= $3::bigint
      returning day::text as day`,
    values: [keyId, amount, max],
  });
  const [row] = reserved.rows;
  return row ? { keyId, amount, day: row.day } : null;
}

/** Takes back an amount that was reserved and not ordered, from the day to which it was added. */
export async function releaseUsage(connection: Queryable, { keyId, amount, day }: ReservedUsage): Promise<void> {
  await connection.query({
    name: 'release usage',
    text: `
      update key_usage
      set amount = greatest(0, amount - $2::bigint)
      where key_id = $1::text and day = $3::date`,
    values: [keyId, amount, day],
  });
}
