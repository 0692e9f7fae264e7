// The stored form of personal data, as docs/decisions/0034-personal-data.md states it: a second implementation.
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { z } from 'zod';

type Owner = { ledger: number; account: string; currency: string };

const person = z.strictObject({
  name: z.string(),
  email: z.string().optional(),
  phone: z.string().optional(),
  dateOfBirth: z.string().optional(),
});

export type Person = z.infer<typeof person>;

const ALGORITHM = 'aes-256-gcm';

const nameOf = ({ ledger, account, currency }: Owner): Buffer => Buffer.from([ledger, account, currency].join('\x1f'));

/** A key that is always the same for one account, so that a test can be repeated. */
export function keyOf(owner: Owner): Buffer {
  return createHash('sha256').update('key').update(nameOf(owner)).digest();
}

/** Encrypts with the account's `keyOf`; never twice with one `change`. */
export function encrypt(owner: Owner, person: Person, change = 1): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(change);
  const cipher = createCipheriv(ALGORITHM, keyOf(owner), nonce).setAAD(nameOf(owner));
  return Buffer.concat([nonce, cipher.update(JSON.stringify(person)), cipher.final(), cipher.getAuthTag()]);
}

/** Throws if it was encrypted with another key or for another account. */
export function decrypt(owner: Owner, encrypted: Buffer, key: Buffer): Person {
  const decipher = createDecipheriv(ALGORITHM, key, encrypted.subarray(0, 12), { authTagLength: 16 })
    .setAAD(nameOf(owner))
    .setAuthTag(encrypted.subarray(-16));
  const text = Buffer.concat([decipher.update(encrypted.subarray(12, -16)), decipher.final()]).toString();
  return person.parse(JSON.parse(text));
}
