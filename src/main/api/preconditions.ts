// The entity tags of accounts, and the preconditions of requests that name them (RFC 9110, sections 8.8.3 and 13.1).
// docs/decisions/0040-entity-tags.md says why a tag has two parts.
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { lockChangeNumber, type VersionedAccount } from '../../db/ledger/accounts.ts';
import type { Queryable } from '../../db/connection/connect.ts';
import type { Ledger } from '../../domain/ledger.ts';
import { VERSION } from '../../version.ts';
import { Problem } from '../http/problem.ts';

const HASH_CHARACTERS = 16;
const TAGS = /^[ \t]*(?:W\/)?"[!#-~\x80-\xff]*"(?:[ \t]*,[ \t]*(?:W\/)?"[!#-~\x80-\xff]*")*[ \t]*$/;
const TAG = /"([!#-~\x80-\xff]*)"/g;

/**
 * The entity tag of an account: the number of its last change, then a hash of what transfers and holds change. The
 * version of the service is a part of it, because a later one may show more of an account.
 */
export function renderTag({ changeNumber, balance, held, entryCount }: VersionedAccount): string {
  const hash = createHash('sha256').update(`${VERSION} ${balance} ${held} ${entryCount}`).digest('base64url');
  return `"${changeNumber}-${hash.slice(0, HASH_CHARACTERS)}"`;
}

/** Whether `If-None-Match` names a tag, so that the caller has the current representation. */
export function isKnown({ 'if-none-match': header }: IncomingHttpHeaders, tag: string): boolean {
  return header !== undefined && (header.trim() === '*' || readTags(header).includes(tag.slice(1, -1)));
}

/**
 * Throws precondition_failed if `If-Match` names no tag with the number of the last change of the account. Locks the
 * account, so that a change in the same transaction is the next one.
 */
export async function requireUnchanged(
  connection: Queryable,
  ledger: Ledger,
  accountNumber: string,
  { 'if-match': header }: IncomingHttpHeaders,
): Promise<void> {
  if (header === undefined || header.trim() === '*') return;
  const current = `${await lockChangeNumber(connection, ledger, accountNumber)}-`;
  if (readTags(header).some((tag) => tag.startsWith(current))) return;
  throw new Problem('precondition_failed', 'The account was changed after you read it. Read it again.');
}

/** The tags in a header. A proxy that compresses marks them as weak, so that mark does not count. */
function readTags(header: string): string[] {
  if (!TAGS.test(header)) {
    throw new Problem('invalid_request', '`If-Match` and `If-None-Match` must be `*`, or tags in quotation marks.');
  }
  return [...header.matchAll(TAG)].map(([, tag = '']) => tag);
}
