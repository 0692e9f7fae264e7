// The text of a key: gp_<id>_<secret>. The id is no secret: it is shown, logged and stored with what the key ordered.
import { createHash, randomBytes, type X509Certificate } from 'node:crypto';

const ID_LENGTH = 12;
const ID_ALPHABET = 'abcdefghijkmnopqrstuvwxyz0123456';
const KEY_FORM = /^gp_([a-z0-9]{12})_([A-Za-z0-9_-]{43})$/;

export type KeyText = { readonly id: string; readonly secret: string };

/** The parts of a key; null if the text is none. */
export function parseKey(text: string): KeyText | null {
  const [, id, secret] = KEY_FORM.exec(text) ?? [];
  return id === undefined || secret === undefined ? null : { id, secret };
}

export function renderKey({ id, secret }: KeyText): string {
  return `gp_${id}_${secret}`;
}

/** A random id: 60 bits. */
export function makeKeyId(): string {
  return Array.from(randomBytes(ID_LENGTH), (byte) => ID_ALPHABET[byte % ID_ALPHABET.length]).join('');
}

/** A random secret: 256 bits. */
export function makeSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** What is stored of a secret. It has 256 random bits, so a slow hash would add nothing. */
export function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** What is stored of a certificate that may be used instead of the secret: its SHA-256, in lower-case hexadecimal. */
export function certificateDigestOf({ fingerprint256 }: X509Certificate): string {
  return fingerprint256.replaceAll(':', '').toLowerCase();
}
