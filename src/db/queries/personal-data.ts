// Personal data as it is stored: encrypted with a key of the account's own (AES-256-GCM). Without the key, the ciphertext
// and everything that was made from it are noise: to erase the data is to delete the key.
import { createCipheriv, createDecipheriv, createHmac, randomFillSync } from 'node:crypto';
import { z } from 'zod';
import { EXTERNAL, EXTERNAL_NAME, type PersonalData } from '../../domain/account.ts';
import { ledgerOf } from '../../domain/between-ledgers.ts';
import { DamagedBooksError } from '../connection/errors.ts';

/** The account to which personal data belongs. A ciphertext that is moved to another account cannot be decrypted. */
type Owner = { readonly ledgerId: number; readonly accountNumber: string; readonly currency: string };

/** The columns of an account that `readPersonalData` needs. */
export type PersonalRow = {
  readonly account_number: string;
  readonly currency: string;
  readonly personal_data: Buffer | null;
  readonly key: Buffer | null;
};

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';

const pool = Buffer.alloc(4096);
let taken = pool.length;

const stored = z.strictObject({
  name: z.string(),
  email: z.string().nullable().default(null),
  phone: z.string().nullable().default(null),
  dateOfBirth: z.string().nullable().default(null),
});

/** The key of an account, as a column of a query of `accounts`. A sub-select, so that it is always a look-up by key. */
export function personalKey(ledgerId: string, accounts: string): string {
  return `(
    select key
    from personal_keys
    where personal_keys.ledger_id = ${ledgerId} and personal_keys.account_number = ${accounts}.account_number
      and personal_keys.currency = ${accounts}.currency
  )`;
}

export function createPersonalKey(): Buffer {
  return takeRandom(KEY_BYTES);
}

/** A random nonce, the ciphertext and its tag. */
export function encryptPersonalData(owner: Owner, personalData: PersonalData, key: Buffer): Buffer {
  const nonce = takeRandom(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(additionalData(owner));
  const { name, email, phone, dateOfBirth } = personalData;
  const text = JSON.stringify({
    name,
    email: email ?? undefined,
    phone: phone ?? undefined,
    dateOfBirth: dateOfBirth ?? undefined,
  });
  return Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
}

/** The personal data of an account; null if it was erased. */
export function readPersonalData(ledgerId: number, row: PersonalRow): PersonalData | null {
  const { account_number: accountNumber, currency, personal_data: encrypted, key } = row;
  const other = ledgerOf(accountNumber);
  if (accountNumber === EXTERNAL || other !== null) {
    const name = other === null ? EXTERNAL_NAME : `The ledger ${other}`;
    return { name, email: null, phone: null, dateOfBirth: null };
  }
  if (encrypted === null) return null;
  try {
    if (key === null) throw new DamagedBooksError('The key is missing.');
    const tagAt = encrypted.length - TAG_BYTES;
    const decipher = createDecipheriv(CIPHER, key, encrypted.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
      .setAAD(additionalData({ ledgerId, accountNumber, currency }))
      .setAuthTag(encrypted.subarray(tagAt));
    const text = Buffer.concat([decipher.update(encrypted.subarray(NONCE_BYTES, tagAt)), decipher.final()]).toString();
    return stored.parse(JSON.parse(text));
  } catch {
    // Without the cause: an error of the parser may quote what it read.
    throw new DamagedBooksError(`The personal data of account ${accountNumber} cannot be decrypted.`);
  }
}

/**
 * The fingerprint of the personal data of a request that opens accounts with these keys, in their order. A hash without
 * the keys could be guessed: a telephone number has few digits.
 */
export function fingerprintPersonalData(keys: readonly Buffer[], personalData: readonly PersonalData[]): Buffer {
  const hmac = createHmac('sha256', Buffer.concat(keys));
  for (const { name, email, phone, dateOfBirth } of personalData) {
    hmac.update(JSON.stringify([name, email, phone, dateOfBirth]));
  }
  return hmac.digest();
}

/** Random bytes. Asking the generator costs 4 µs, however few bytes, so it is asked for many at once. */
function takeRandom(bytes: number): Buffer {
  if (taken + bytes > pool.length) {
    randomFillSync(pool);
    taken = 0;
  }
  const from = taken;
  taken += bytes;
  const random = Buffer.from(pool.subarray(from, taken));
  // The pool keeps no copy of a key.
  pool.fill(0, from, taken);
  return random;
}

function additionalData({ ledgerId, accountNumber, currency }: Owner): Buffer {
  return Buffer.from(`${ledgerId}\u001f${accountNumber}\u001f${currency}`);
}
