// The form in which a request waits for its approval: JSON, in which amounts are digits.
import { z } from 'zod';
import type { ApprovalRecord } from '../../db/ledger/approvals.ts';
import { TRANSFER_KINDS } from '../../domain/transfer.ts';
import { renderConversion, renderParties } from '../../render/json.ts';
import type { TransferFields } from './submission.ts';

const digits = z
  .string()
  .regex(/^-?\d{1,19}$/)
  .transform(BigInt);
const texts = z.record(z.string(), z.string());

const member = z.object({
  kind: z.enum(TRANSFER_KINDS).default('transfer'),
  fromAccount: z.string(),
  toAccount: z.string(),
  amount: digits.nullable(),
  currency: z.string().nullable(),
  parentId: z.string().nullable().default(null),
  conditions: z
    .object({ fromEntryNumber: digits.nullable(), minAvailableAfter: digits.nullable() })
    .nullable()
    .default(null),
  finalCapture: z.boolean().default(false),
  expiresIn: z.int().nullable().default(null),
  rate: z.string().nullable().default(null),
  remoteAccount: z.string().nullable().default(null),
  description: z.string().nullable().default(null),
  metadata: texts.nullable().default(null),
});

const keptTransfers = z.object({
  fingerprinted: z.array(z.unknown()),
  members: z.array(member).min(1),
  /** Null: one transfer, not a group. */
  atomic: z.boolean().nullable(),
  amountAtMost: digits.nullable(),
});
const keptAccount = z.object({ accountNumber: z.string(), overdraftLimit: digits });

export type KeptTransfers = z.output<typeof keptTransfers>;
export type KeptAccount = z.output<typeof keptAccount>;

export function keepTransfers(request: {
  readonly fingerprinted: readonly unknown[];
  readonly members: readonly TransferFields[];
  readonly atomic: boolean | null;
  readonly amountAtMost: bigint | null;
}): Record<string, unknown> {
  return toJson(request);
}

export function keepAccount(request: KeptAccount): Record<string, unknown> {
  return toJson(request);
}

export function readTransfers({ request }: ApprovalRecord): KeptTransfers {
  return keptTransfers.parse(request);
}

export function readAccount({ request }: ApprovalRecord): KeptAccount {
  return keptAccount.parse(request);
}

/** What was requested, for its approver. */
export function renderKept(record: ApprovalRecord): Record<string, unknown> {
  if (record.kind === 'account') {
    const { accountNumber, overdraftLimit } = readAccount(record);
    return { account_number: accountNumber, overdraft_limit: Number(overdraftLimit) };
  }
  const { members, atomic, amountAtMost } = readTransfers(record);
  const transfers = members.map((each) => ({
    kind: each.kind,
    ...renderParties(each),
    amount: Number(each.amount ?? amountAtMost),
    currency: each.currency,
    parent_id: each.parentId,
    ...(each.rate !== null && { conversion: renderConversion(each.rate) }),
    description: each.description,
    metadata: each.metadata,
  }));
  return { transfers, atomic: atomic ?? false };
}

function toJson(value: object): Record<string, unknown> {
  const text = JSON.stringify(value, (_, member: unknown) => (typeof member === 'bigint' ? String(member) : member));
  return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
}
