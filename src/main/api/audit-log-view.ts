// The view of an entry of the audit log, and its renderer.
import { z } from 'zod';
import type { AuditLogEntry } from '../../db/queries/audit-log.ts';
import { instant } from '../../render/json.ts';

export const auditLogView = z.object({
  object: z.literal('audit_log_entry'),
  id: z.uuid(),
  at: instant,
  action: z.string().describe('refused, or what was administered, such as key.created.'),
  actor: z.string().nullable().describe('The id of a key, the subject of a token, or cli: and a user.'),
  subject: z.string().nullable(),
  address: z.string().nullable().describe('The network address of a refused caller.'),
  count: z.int().describe('How many equal refusals it stands for.'),
  journal_number: z.int().nullable().describe('The row of the journal that covers it; null for a refusal.'),
  details: z.looseObject({}),
});

export function renderAuditLogEntry(entry: AuditLogEntry): z.input<typeof auditLogView> {
  const { id, at, action, actor, subject, address, count, journalNumber, details } = entry;
  const journal = journalNumber === null ? null : Number(journalNumber);
  return {
    object: 'audit_log_entry',
    id,
    at,
    action,
    actor,
    subject,
    address,
    count,
    journal_number: journal,
    details: { ...details },
  };
}
