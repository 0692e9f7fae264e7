// The steps of a transfer between ledgers that the courier orders.
import { createHash } from 'node:crypto';
import type { CreditOutcome, OpenTransfer } from '../../db/ledger/courier.ts';
import { contraOf, type EndingStep, stepText, toStepId } from '../../domain/between-ledgers.ts';
import { BY_SERVICE, type NewTransfer } from '../../domain/transfer.ts';

function toStep(fields: Partial<NewTransfer> & Pick<NewTransfer, 'id' | 'kind' | 'fromAccount' | 'toAccount'>) {
  return {
    amount: null,
    currency: null,
    parentId: null,
    group: null,
    conditions: null,
    finalCapture: false,
    expiresIn: null,
    requestId: null,
    by: BY_SERVICE,
    rate: null,
    remoteAccount: null,
    description: null,
    metadata: null,
    ...fields,
  };
}

/** The credit in the other ledger: all that its caller said of the transfer, under the same id. */
export function toCredit(transfer: OpenTransfer): NewTransfer {
  const { id, source, fromAccount, toAccount, amount, currency, requestId, by, description, metadata } = transfer;
  const from = contraOf(source.name);
  return toStep({
    id,
    kind: 'transfer',
    fromAccount: from,
    toAccount,
    remoteAccount: fromAccount,
    amount,
    currency,
    requestId,
    by,
    description,
    metadata,
  });
}

/** The end of a transfer. A void keeps the code of the credit, so that its ledger says alone why nothing was moved. */
export function toEnd(transfer: OpenTransfer, kind: EndingStep, code: CreditOutcome): NewTransfer {
  const { id, target, fromAccount, toAccount, currency, description } = transfer;
  return toStep({
    id: toStepId(createHash('sha256').update(stepText(id, kind)).digest()),
    kind,
    parentId: id,
    fromAccount,
    toAccount: contraOf(target.name),
    remoteAccount: toAccount,
    currency,
    description: code ?? description,
  });
}
