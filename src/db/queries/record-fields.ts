// The fields of the records that the journal covers, in their order, as SQL expressions. docs/decisions/0013-journal.md has
// the form.

/** Of a change of an account. */
export const CHANGE_FIELDS: readonly string[] = [
  'account_number',
  'currency',
  'change_number',
  `encode(seal, 'hex')`,
  'ordered_by',
  'approved_by',
];

/** Of an administrative act; `at` is its instant as the record has it. */
export function actFields(at: string): readonly string[] {
  return ['id', 'action', 'actor', 'subject', 'details', at];
}

/** Of a transfer, without the rate of a conversion, and without the account in another ledger. */
export function transferFields({
  createdAt,
  fromBalance,
  toBalance,
}: {
  createdAt: string;
  fromBalance: string;
  toBalance: string;
}): readonly string[] {
  return [
    'id',
    'from_account',
    'to_account',
    'amount',
    'currency',
    'status',
    'failure_code',
    'request_id',
    'description',
    'metadata',
    createdAt,
    'from_entry_number',
    fromBalance,
    'to_entry_number',
    toBalance,
    'kind',
    'parent_id',
    'group_id',
    'group_position',
    'atomic',
    'final_capture',
    'expires_in',
    'if_from_entry_number',
    'if_min_available_after',
    'ordered_by',
    'approved_by',
  ];
}
