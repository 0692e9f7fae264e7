// Reads for a page: what was read last, whether a read runs, and the error of the last one.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from './api.ts';

export type Data<Answer> = {
  /** Null before the first answer. It stays while it is read again, and when that fails. */
  readonly value: Answer | null;
  readonly error: ApiError | null;
  readonly loading: boolean;
  readonly reload: () => void;
};

const RETRY_MS = 2000;

/** Reads again whenever `value` changes, while the page shows what was read before. */
export function useReloadOn(value: number | string, reload: () => void): void {
  const seen = useRef(value);
  useEffect(() => {
    if (seen.current === value) return;
    seen.current = value;
    reload();
  }, [value]);
}

/**
 * Reads when the page opens and whenever `dependencies` change; every `refreshMs` if that is given, while the tab is
 * visible; and again after a while if the service did not answer.
 */
export function useData<Answer>(
  read: (signal: AbortSignal) => Promise<Answer>,
  dependencies: readonly (string | number | boolean | null)[],
  refreshMs: number | null = null,
): Data<Answer> {
  const [state, setState] = useState<Omit<Data<Answer>, 'reload'>>({ value: null, error: null, loading: true });
  const [count, setCount] = useState(0);
  const latest = useRef(read);
  latest.current = read;
  const reload = useCallback(() => setCount((count) => count + 1), []);
  const identity = dependencies.join('\u0000');
  useEffect(() => setState({ value: null, error: null, loading: true }), [identity]);
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const again = (ms: number): void => {
      timer = setTimeout(() => (document.hidden ? again(ms) : reload()), ms);
    };
    const readOnce = async (): Promise<void> => {
      try {
        const value = await latest.current(abort.signal);
        if (abort.signal.aborted) return;
        setState({ value, error: null, loading: false });
        if (refreshMs !== null) again(refreshMs);
      } catch (error) {
        if (abort.signal.aborted) return;
        const known = error instanceof ApiError ? error : new ApiError(0, { code: 'error', title: String(error) });
        setState((state) => ({ ...state, error: known, loading: false }));
        if (known.status === 0 || known.status >= 500) again(RETRY_MS);
        // Any other refusal would be the same again.
        else if (refreshMs !== null && known.status === 429) again(Math.max(refreshMs, RETRY_MS));
      }
    };
    setState((state) => ({ ...state, loading: true }));
    void readOnce();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [identity, count, refreshMs]);
  return { ...state, reload };
}
