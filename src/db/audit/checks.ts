// All checks that are statements, in the order in which they are reported.
import { ARCHIVE_CHECKS } from './archive.ts';
import { BETWEEN_CHECKS } from './between-ledgers.ts';
import { HOLD_CHECKS } from './holds.ts';
import { JOURNAL_CHECKS } from './journal.ts';
import { LEDGER_CHECKS } from './ledgers.ts';
import { MONTH_CHECKS } from './months.ts';
import { MONEY_CHECKS } from './money.ts';
import type { Check } from './rules.ts';
import { SCHEMA_CHECKS } from './schema.ts';
import { STATE_CHECKS } from './states.ts';

export const CHECKS: readonly Check[] = [
  ...LEDGER_CHECKS,
  ...MONEY_CHECKS,
  ...HOLD_CHECKS,
  ...BETWEEN_CHECKS,
  ...STATE_CHECKS,
  ...SCHEMA_CHECKS,
  ...JOURNAL_CHECKS,
  ...MONTH_CHECKS,
  ...ARCHIVE_CHECKS,
];
