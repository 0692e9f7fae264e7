// gopherpay audit-log: what was administered, and what was refused.
import { defineCommand } from 'citty';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { readingTimeouts } from '../db/connection/connect.ts';
import { type AuditLogEntry, listAuditLog } from '../db/queries/audit-log.ts';
import { MAIN_LEDGER } from '../domain/ledger.ts';
import { findLedger, interruptible, ledgerName, parseArguments, withConnection, withDatabase } from './command.ts';
import { writeStandardOutput } from './file.ts';

const PAGE = 1000;

export const auditLog = defineCommand({
  meta: { name: 'audit-log', description: 'List what was administered and what was refused, newest first.' },
  args: {
    ledger: { type: 'string', description: 'The ledger (main); keys of every ledger are in main', valueHint: 'main' },
    refused: { type: 'boolean', description: 'Only refusals; --no-refused: only administration' },
    limit: { type: 'string', description: 'How many entries (100)' },
    json: { type: 'boolean', description: 'One JSON object a line' },
  },
  async run({ args }) {
    const options = parseArguments(
      {
        ledger: ledgerName.default(MAIN_LEDGER.name),
        refused: z.boolean().optional(),
        limit: z.coerce.number().int().min(1).max(1_000_000).default(100),
        json: z.boolean().default(false),
      },
      args,
    );
    const config = readConfig();
    const timeouts = readingTimeouts(config.readingTimeoutMs);
    await interruptible(async (signal) => {
      await withDatabase(config, 'reader', async (database) => {
        const applicationName = 'gopherpay audit-log';
        await withConnection(database, { timeouts, signal, applicationName }, async (connection) => {
          const ledger = await findLedger(connection, options.ledger);
          let after: string | null = null;
          for (let left = options.limit; left > 0; left -= PAGE) {
            const page: AuditLogEntry[] = await listAuditLog(connection, ledger, {
              limit: Math.min(left, PAGE),
              after,
              newestFirst: true,
              refused: options.refused ?? null,
            });
            await writeStandardOutput(page.map(options.json ? renderJson : renderLine), signal);
            after = page.at(-1)?.id ?? null;
            if (after === null) break;
          }
        });
      });
    });
  },
});

function renderJson(entry: AuditLogEntry): string {
  const { id, at, action, actor, subject, address, count, journalNumber, details } = entry;
  const journal = journalNumber === null ? null : Number(journalNumber);
  return `${JSON.stringify({ id, at, action, actor, subject, address, count, journal_number: journal, details })}\n`;
}

function renderLine({ at, action, actor, subject, address, count, details }: AuditLogEntry): string {
  const times = count > 1 ? `${count} ×` : '';
  return `${[at, action, actor ?? '-', subject ?? '-', address ?? '', times, JSON.stringify(details)].filter((cell) => cell !== '').join('  ')}\n`;
}
