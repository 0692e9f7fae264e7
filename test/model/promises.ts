// Checks what is stored against the promises of the design, in SQL that shares nothing with the service: each rule selects
// what breaks it. All rules read one snapshot.
import { AssertionError } from 'node:assert';
import { Client } from 'pg';
import type { TestDatabase } from '../support/database.ts';
import type { Told } from './driver.ts';
import { RULES } from './promises-sql.ts';

const SHOWN_MAX = 3;

/** Throws an AssertionError that lists every broken rule with the first rows that break it. Nothing may be pending. */
export async function checkPromises({ admin }: Pick<TestDatabase, 'admin'>): Promise<void> {
  await withSnapshot(admin, async (client) => {
    const broken: string[] = [];
    for (const [rule, sql] of Object.entries(RULES)) {
      const { rows } = await client.query<{ shown: string }>(
        `select to_jsonb(found)::text as shown from (${sql}) as found limit ${SHOWN_MAX}`,
      );
      if (rows.length > 0) broken.push(`${rule}:\n${rows.map(({ shown }) => `    ${shown}`).join('\n')}`);
    }
    if (broken.length > 0)
      throw new AssertionError({ message: `The books break their promises.\n  ${broken.join('\n  ')}` });
  });
}

/** Throws an AssertionError if a caller was told anything else of a movement than what the books say of it. */
export async function checkTold({ admin }: Pick<TestDatabase, 'admin'>, told: readonly Told[]): Promise<void> {
  await withSnapshot(admin, async (client) => {
    const { rows } = await client.query(
      `select told.*, transfers.status as is, transfers.failure_code as is_code, transfers.amount as is_amount
       from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::timestamptz[], $7::uuid[])
         as told (id, status, failure_code, amount, currency, completed_at, group_id)
       left join transfers using (id)
       where (told.status, told.failure_code, told.amount, told.currency, told.completed_at, told.group_id)
         is distinct from (transfers.status, transfers.failure_code, transfers.amount, transfers.currency,
           transfers.completed_at, transfers.group_id)
       limit ${SHOWN_MAX}`,
      [
        told.map(({ id }) => id),
        told.map(({ status }) => status),
        told.map(({ failure_code: code }) => code),
        told.map(({ amount }) => amount),
        told.map(({ currency }) => currency),
        told.map(({ completed_at: at }) => at),
        told.map(({ group_id: group }) => group),
      ],
    );
    if (rows.length > 0)
      throw new AssertionError({ message: `Callers were told what is not so: ${JSON.stringify(rows)}` });
  });
}

async function withSnapshot(admin: TestDatabase['admin'], work: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client(admin);
  await client.connect();
  try {
    await client.query('begin isolation level repeatable read, read only');
    // Tables that were just filled have no statistics: without these, the planner would loop over them.
    await client.query("set local enable_nestloop = off; set local work_mem = '64MB'; set local jit = off");
    await work(client);
  } finally {
    await client.end();
  }
}
