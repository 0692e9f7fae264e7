// The commands by their names.
import { defineCommand, type SubCommandsDef } from 'citty';
import { VERSION } from '../version.ts';

/** Each is loaded when it is called: a report needs neither the service nor the time that loading it takes. */
const COMMANDS: SubCommandsDef = {
  serve: async () => (await import('./serve.ts')).serve,
  migrate: async () => (await import('./migrate.ts')).migrate,
  report: async () => (await import('./report.ts')).report,
  statement: async () => (await import('./statement.ts')).statement,
  audit: async () => (await import('./audit.ts')).audit,
  checkpoint: async () => (await import('./checkpoint.ts')).checkpoint,
  archive: async () => (await import('./archive.ts')).archive,
  close: async () => (await import('./close.ts')).close,
  backup: async () => (await import('./backup.ts')).backup,
  restore: async () => (await import('./restore.ts')).restore,
  doctor: async () => (await import('./doctor/doctor.ts')).doctor,
  export: async () => (await import('./export.ts')).exportBooks,
  verify: async () => (await import('./verify.ts')).verify,
  import: async () => (await import('./import.ts')).importBooks,
  keys: async () => (await import('./keys.ts')).keys,
  'audit-log': async () => (await import('./audit-log.ts')).auditLog,
  'approval-rule': async () => (await import('./approval-rule.ts')).approvalRule,
  accounts: async () => (await import('./remote/resources.ts')).accounts,
  transfers: async () => (await import('./remote/resources.ts')).transfers,
  holds: async () => (await import('./remote/resources.ts')).holds,
  ledgers: async () => (await import('./remote/resources.ts')).ledgers,
  events: async () => (await import('./remote/events.ts')).events,
  status: async () => (await import('./remote/status.ts')).status,
  listen: async () => (await import('./listen.ts')).listen,
  load: async () => (await import('./load/load.ts')).load,
  complete: async () => (await import('./complete.ts')).defineComplete(gopherpay),
};

export const gopherpay = defineCommand({
  meta: { name: 'gopherpay', version: VERSION, description: 'A payment and wallet service on PostgreSQL.' },
  subCommands: COMMANDS,
});
