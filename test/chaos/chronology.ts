// Judges answers by their order in time: no answer may contradict an answer received before the request was sent.
import type { Attempt } from './attempt.ts';
import type { Violation } from './judge.ts';

type Stored = { id: string; status: string; journal_number: number | null; created_at: string };

/** Compares answers with each other and with the stored rows, if the time of either matters. */
export function judgeChronology(attempts: readonly Attempt[], rows: readonly Stored[]): Violation[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  return [...findRevivals(attempts, byId), ...findWrongTimes(attempts, byId)];
}

/**
 * Answers that call a transfer pending, to a request that was sent after another caller had read a journal number which is not
 * smaller than the transfer's. Journal rows commit in the order of their numbers, so the transfer was final by then.
 */
function findRevivals(attempts: readonly Attempt[], byId: ReadonlyMap<string, Stored>): Violation[] {
  const known = attempts.flatMap(({ reported, readAt }) =>
    reported.flatMap(({ journal_number }) => (journal_number === null ? [] : [{ number: journal_number, readAt }])),
  );
  known.sort((a, b) => b.number - a.number);
  const pending = attempts.flatMap((attempt) =>
    attempt.reported.flatMap(({ id, status }) => {
      const number = byId.get(id)?.journal_number ?? null;
      return status !== 'pending' || number === null ? [] : [{ attempt, id, number }];
    }),
  );
  pending.sort((a, b) => b.number - a.number);
  // Both descend, so the earliest reading of a number that is at least as high is known when it is needed.
  let earliest = Infinity;
  let next = 0;
  return pending.flatMap(({ attempt, id, number }) => {
    for (let each = known[next]; each && each.number >= number; each = known[next]) {
      earliest = Math.min(earliest, each.readAt);
      next += 1;
    }
    if (attempt.sentAt <= earliest) return [];
    const late = `${attempt.sentAt - earliest} ms after its journal row ${number} was known`;
    return [{ rule: 'a final transfer is never pending again', detail: `${attempt.requestId}: ${id}, sent ${late}` }];
  });
}

function findWrongTimes(attempts: readonly Attempt[], byId: ReadonlyMap<string, Stored>): Violation[] {
  return attempts.flatMap(({ reported, requestId }) =>
    reported.flatMap(({ id, created_at }) => {
      const stored = byId.get(id)?.created_at;
      if (stored === undefined || isSameInstant(stored, created_at)) return [];
      const detail = `${requestId}: ${id} was answered ${created_at}, stored is ${stored}`;
      return [{ rule: 'a transfer has one created_at', detail }];
    }),
  );
}

/** Both are RFC 3339 in UTC; an answer leaves out the zeros at the end of a fraction. */
function isSameInstant(stored: string, answered: string): boolean {
  const [seconds = '', fraction = ''] = answered.slice(0, -1).split('.');
  return stored === `${seconds}.${fraction.padEnd(6, '0')}Z`;
}
