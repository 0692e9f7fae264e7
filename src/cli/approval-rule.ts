// gopherpay approval-rule: above which amount funding and overdraft limits need the approval of a second key.
import { defineCommand } from 'citty';
import { z } from 'zod';
import { readConfig } from '../config.ts';
import { recordAdministration } from '../db/ledger/administration.ts';
import { bumpAccessVersion, setApprovalRule } from '../db/ledger/keys.ts';
import { MAIN_LEDGER } from '../domain/ledger.ts';
import { mustBe } from '../validation.ts';
import { ACTOR, administer } from './administration.ts';
import { findLedger, interruptible, ledgerName, parseArguments } from './command.ts';

const above = z
  .string({ error: mustBe('a whole amount in minor units, or none') })
  .regex(/^(?:\d{1,16}|none)$/)
  .transform((text) => (text === 'none' ? null : BigInt(text)));

export const approvalRule = defineCommand({
  meta: {
    name: 'approval-rule',
    description: 'Set the amount above which funding and overdraft limits need the approval of a second key.',
  },
  args: {
    above: {
      type: 'string',
      required: true,
      description: 'Minor units of any currency, or none',
      valueHint: '1000000',
    },
    ledger: { type: 'string', description: 'The ledger (main)', valueHint: 'main' },
  },
  async run({ args }) {
    const options = parseArguments({ above, ledger: ledgerName.default(MAIN_LEDGER.name) }, args);
    await interruptible(async (signal) => {
      await administer(readConfig(), signal, async (connection) => {
        const ledger = await findLedger(connection, options.ledger);
        await setApprovalRule(connection, ledger, options.above);
        await bumpAccessVersion(connection);
        await recordAdministration(connection, ledger, {
          action: 'ledger.approval_rule',
          actor: ACTOR,
          subject: ledger.name,
          details: { above: options.above === null ? null : Number(options.above) },
        });
      });
    });
    const rule = options.above === null ? 'needs no approval' : `above ${options.above} minor units needs an approval`;
    process.stderr.write(`Funding and overdraft of the ledger ${options.ledger} ${rule}.\n`);
  },
});
