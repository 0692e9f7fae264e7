// Judges the use of keys: a stored transfer names the key that sent it, and a revoked key orders nothing.
import { type Attempt, isAccepted } from './attempt.ts';
import type { Violation } from './judge.ts';

/** When a key was revoked, by the clock of the callers: not before `from`, and committed by `by`. */
export type Revocation = { readonly from: number; readonly by: number };
/** By the id of the key. */
export type Revocations = ReadonlyMap<string, Revocation>;

type Stored = { id: string; kind: string; request_id: string; ordered_by: string | null };

/** Within this time every service refuses a revoked key. */
export const REFUSED_WITHIN_MS = 2000;

/** Compares the keys of attempts with the stored rows. */
export function judgeKeys(
  attempts: readonly Attempt[],
  rows: readonly Stored[],
  revocations: Revocations,
): Violation[] {
  const byRequest = new Map(attempts.map((attempt) => [attempt.requestId, attempt]));
  const sentTooLate = ({ key, sentAt }: Attempt): boolean => {
    const { by = Infinity } = revocations.get(key ?? '') ?? {};
    return sentAt > by + REFUSED_WITHIN_MS;
  };
  return [
    ...rows.flatMap(({ id, kind, request_id, ordered_by }) => {
      const attempt = byRequest.get(request_id);
      const key = kind === 'expiry' ? null : attempt?.key;
      const isOther = key !== undefined && ordered_by !== key;
      const detail = `${id}: ordered by ${ordered_by}, sent with ${key}`;
      return [
        ...(isOther ? [{ rule: 'a stored transfer names the key that sent it', detail }] : []),
        ...(attempt && sentTooLate(attempt) ? [{ rule: 'a revoked key orders nothing', detail }] : []),
      ];
    }),
    ...attempts
      .filter((attempt) => isAccepted(attempt) && sentTooLate(attempt))
      .map(({ requestId, key, status }) => ({
        rule: 'a revoked key orders nothing',
        detail: `${requestId} was answered ${status} with ${key}`,
      })),
    ...attempts
      .filter(({ status, key, readAt }) => status === 401 && readAt < (revocations.get(key ?? '')?.from ?? Infinity))
      .map(({ requestId, key }) => ({
        rule: 'every answer is possible for its order',
        detail: `${requestId} was answered 401 with ${key}, which was valid`,
      })),
  ];
}
