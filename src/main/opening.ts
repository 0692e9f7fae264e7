// Opens an account: the account, its idempotency key and its opening transfer become durable in one commit.
import { randomInt } from 'node:crypto';
import type { z } from 'zod';
import { type AccountRecord, insertAccount, loadAccounts, type NewAccount, sealAccount } from '../db/accounts.ts';
import { DamagedBooksError } from '../db/errors.ts';
import { claimKeyForAccount, insertPending, type KeyHolder, loadKeyHolders } from '../db/intake.ts';
import { LeaseLostError } from '../db/leases.ts';
import { CommitUnknownError, withTransaction } from '../db/transaction.ts';
import { EXTERNAL } from '../domain/account.ts';
import { MAIN_LEDGER } from '../domain/ledger.ts';
import type { NewTransfer } from '../domain/transfer.ts';
import { Problem } from './problem.ts';
import type { ReadingParts } from './reads.ts';
import type { Answer, Exchange } from './route.ts';
import type { createAccountSchema } from './schemas.ts';
import { unavailableProblem } from './failures.ts';
import { loadStored } from './standing.ts';
import {
  admit,
  bytesOf,
  keyReusedProblem,
  type Parts,
  REPLAYED,
  toIdempotency,
  toNewTransfer,
  toQueued,
} from './submission.ts';
import { renderAccount } from './wire.ts';

/** Opens an account: 201. Throws the problem if it cannot. */
export async function createAccount(
  parts: ReadingParts,
  exchange: Exchange<unknown, z.output<typeof createAccountSchema>>,
): Promise<Answer> {
  const { body } = exchange;
  const account = {
    accountNumber: body.account_number ?? `ACC${String(randomInt(10 ** 12)).padStart(12, '0')}`,
    currency: body.currency,
    name: body.name,
    email: body.email ?? null,
    phone: body.phone ?? null,
    dateOfBirth: body.date_of_birth ?? null,
    overdraftLimit: BigInt(body.overdraft_limit),
    metadata: body.metadata,
  };
  const opening = body.balance === 0 ? null : openingTransfer(account, body.balance, exchange);
  const idempotency = toIdempotency({ headers: exchange.headers, said: ['accounts', body] });
  const bytes = opening ? bytesOf(opening) : 0;
  if (opening) {
    try {
      admit(parts, exchange.caller, 1, bytes);
    } catch (problem) {
      // A full queue must not hide the answer to a request that was accepted before.
      const holder = idempotency && (await parts.keys.find(idempotency.key));
      if (holder) return await replayAccount(parts, holder, idempotency);
      throw problem;
    }
  }
  const release = (): void => {
    if (opening) parts.queue.release(1, bytes, false);
  };
  let opened: AccountRecord | null;
  try {
    opened = await parts.changes.run(
      exchange.caller,
      async (pool) => await openAccount({ ...parts, pool }, { account, opening, idempotency }),
    );
  } catch (error) {
    release();
    throw error;
  }
  if (!opened) {
    release();
    const holder = idempotency && (await parts.keys.find(idempotency.key));
    if (!holder) throw unavailableProblem();
    return await replayAccount(parts, holder, idempotency);
  }
  if (opening) {
    parts.settlement.push([toQueued(opening)]);
    await parts.settlement.waitFor([opening.id], parts.waitTimeoutMs);
  }
  return await answerAccount(parts, opened, opening?.id ?? null);
}

type Opening = {
  readonly account: NewAccount;
  readonly opening: NewTransfer | null;
  readonly idempotency: NewTransfer['idempotency'];
};

/** Another request has claimed the key meanwhile. */
class KeyTakenError extends Error {}

const OPENING_ATTEMPTS_MAX = 3;

/** Opens an account, with its key and its opening transfer, in one commit. Null if the key is taken already. */
async function openAccount(parts: Parts, { account, opening, idempotency }: Opening): Promise<AccountRecord | null> {
  for (let attempt = 1; ; attempt += 1) {
    const { held } = parts.lease;
    try {
      return await withTransaction(parts.pool, async (connection) => {
        const { accountNumber, currency } = account;
        const isKeyTaken = async () =>
          idempotency !== null && (await loadKeyHolders(connection, [idempotency.key])).length > 0;
        if (await isKeyTaken()) return null;
        const inserted = await insertAccount(connection, MAIN_LEDGER, account);
        if (!inserted) {
          // By a request with the same key, perhaps, while this one waited for its end.
          if (await isKeyTaken()) return null;
          throw new Problem('account_exists', 'There is an account with this number already.');
        }
        if (inserted.externalIsNew) await sealAccount(connection, MAIN_LEDGER, { accountNumber: EXTERNAL, currency });
        await sealAccount(connection, MAIN_LEDGER, account);
        // Late, because it locks the lease, for which intake waits; and before the key, as intake does.
        if (opening && !(await insertPending(connection, held, [opening])).leaseHeld)
          throw new LeaseLostError('The lease of this process was closed or renewed.');
        if (idempotency) {
          const named = { ...idempotency, accountNumber, openingId: opening?.id ?? null };
          if (!(await claimKeyForAccount(connection, named))) throw new KeyTakenError();
        }
        return inserted.account;
      });
    } catch (error) {
      if (error instanceof LeaseLostError && attempt < OPENING_ATTEMPTS_MAX) {
        await parts.lease.renew(parts.pool, held);
        continue;
      }
      if (error instanceof KeyTakenError) return null;
      if (!(error instanceof CommitUnknownError)) throw error;
      // If the account was opened after all, recovery finds its opening transfer.
      if (opening) {
        parts.lease.doubt();
        parts.wakeRecovery();
      }
      throw new Problem(
        'outcome_unknown',
        'The database went away before it answered. Read the account, or send the same Idempotency-Key again.',
        { headers: { 'Retry-After': '1' }, members: { account_number: account.accountNumber } },
      );
    }
  }
}

/** The account that a key names, in its current state. Throws idempotency_key_reused if the key's request was another one. */
async function replayAccount(
  parts: Parts,
  holder: KeyHolder,
  idempotency: NewTransfer['idempotency'],
): Promise<Answer> {
  const { accountNumber, transferId } = holder;
  if (accountNumber === null || !idempotency || !holder.fingerprint.equals(idempotency.fingerprint))
    throw keyReusedProblem(holder);
  if (transferId !== null) await loadStored(parts, { namedId: transferId, isGroup: false }, parts.waitTimeoutMs);
  const [account] = await loadAccounts(parts.pool, MAIN_LEDGER, accountNumber);
  if (!account) throw new DamagedBooksError('A key names an account that is not there; run gopherpay audit.');
  const answer = await answerAccount(parts, account, transferId);
  return { ...answer, headers: { ...answer.headers, ...REPLAYED } };
}

async function answerAccount(parts: Parts, opened: AccountRecord, openingId: string | null): Promise<Answer> {
  // The account exists, even if it cannot be read now: another 503 would say that nothing was stored.
  const [account] =
    openingId === null ? [] : await loadAccounts(parts.pool, MAIN_LEDGER, opened.accountNumber).catch(() => []);
  return {
    status: 201,
    headers: { Location: `/accounts/${opened.accountNumber}` },
    json: { ...renderAccount(account ?? opened), opening_transfer_id: openingId },
  };
}

function openingTransfer(
  account: { accountNumber: string; currency: string },
  balance: number,
  exchange: { requestId: string; requestIdGiven: boolean },
): NewTransfer {
  return toNewTransfer(exchange, null, {
    fromAccount: EXTERNAL,
    toAccount: account.accountNumber,
    amount: BigInt(balance),
    currency: account.currency,
    description: 'Opening balance',
  });
}
