// Certificates for tests, made by certificates/make.sh: `server`, `renewed` (both for localhost and 127.0.0.1), `elsewhere` (another
// host) and `client` are of `authority`; `stranger-client` is of another authority, `stranger`.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The paths of a certificate and of its key. */
export function pathsOf(name: string): { cert: string; key: string } {
  const at = (file: string): string => fileURLToPath(new URL(`certificates/${file}.pem`, import.meta.url));
  return { cert: at(name), key: at(`${name}-key`) };
}

/** A certificate and its key, as PEM. */
export function pemOf(name: string): { cert: string; key: string } {
  const { cert, key } = pathsOf(name);
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}

/** The path of the authority that made the certificates. */
export const AUTHORITY = pathsOf('authority').cert;
/** The path of another authority. */
export const STRANGER = pathsOf('stranger').cert;
