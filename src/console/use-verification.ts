// Verifies a whole journal, page by page, and tells how far it is.
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { useSession } from './session.ts';
import { compareWithPast, type Flaw, type Position, verifyRows } from './verify.ts';
import type { JournalRow, Page } from './wire.ts';

const ROWS_MAX = 1000;
/** More would not help a person. */
const FLAWS_MAX = 50;

export type Progress = {
  readonly state: 'running' | 'stopped' | 'done';
  readonly rows: number;
  readonly seconds: number;
  /** The last row that was read. */
  readonly last: Position;
  readonly flaws: readonly Flaw[];
  readonly error: ApiError | null;
};

export type Verification = {
  readonly progress: Progress | null;
  /** `from`: the position after which it begins. `past`: what was verified before. */
  readonly start: (from: Position, past: Position | null) => void;
  readonly stop: () => void;
};

/** `onSound` gets the last row of a run that found no flaw. */
export function useVerification(onSound: (last: Position) => void): Verification {
  const { api, ledger } = useSession();
  const [progress, setProgress] = useState<Progress | null>(null);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), [ledger]);
  const start = (from: Position, past: Position | null): void => {
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    const startedAt = performance.now();
    let now: Progress = { state: 'running', rows: 0, seconds: 0, last: from, flaws: [], error: null };
    const show = (more: Partial<Progress>): void => {
      now = { ...now, ...more, seconds: (performance.now() - startedAt) / 1000 };
      setProgress(now);
    };
    const readPage = async (after: string | null): Promise<Page<JournalRow>> =>
      await api.get('/journal', {
        ledger,
        query: { order: 'oldest', limit: ROWS_MAX, after },
        signal: abort.signal,
      });
    const verify = async (): Promise<void> => {
      show({});
      for (let after: string | null = from.number === 0 ? null : String(from.number); ;) {
        const page: Page<JournalRow> = await readPage(after);
        const found = await verifyRows(page.items, now.last);
        const known = page.items.find(({ number }) => number === past?.number);
        if (past && known) found.push(...compareWithPast(known, past));
        const last = page.items.at(-1) ?? now.last;
        show({
          rows: now.rows + page.items.length,
          last: { number: last.number, hash: last.hash },
          flaws: [...now.flaws, ...found].slice(0, FLAWS_MAX),
        });
        after = page.next;
        if (after === null) break;
      }
      if (past && past.number > now.last.number) show({ flaws: [...now.flaws, ...compareWithPast(undefined, past)] });
      show({ state: 'done' });
      if (now.flaws.length === 0 && now.last.number > 0) onSound(now.last);
    };
    verify().catch((error: unknown) => {
      if (abort.signal.aborted) return;
      show({
        state: 'stopped',
        error: error instanceof ApiError ? error : new ApiError(0, { code: 'error', title: String(error) }),
      });
    });
  };
  const stop = (): void => {
    running.current?.abort();
    setProgress((progress) => progress && { ...progress, state: 'stopped' });
  };
  return { progress, start, stop };
}
