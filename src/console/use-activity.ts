// Follows the figures of the service: one reading a second, and the last five minutes of them.
import { useEffect, useState } from 'preact/hooks';
import { type Sample, sampleOf } from './activity.ts';
import { ApiError } from './api.ts';
import { useSession } from './session.ts';
import type { Activity } from './wire.ts';

const READ_MS = 1000;
const SAMPLES_MAX = 300;

export type Following = {
  readonly latest: Activity | null;
  readonly samples: readonly Sample[];
  readonly error: ApiError | null;
};

export function useActivity(): Following {
  const { api } = useSession();
  const [following, setFollowing] = useState<Following>({ latest: null, samples: [], error: null });
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = async (): Promise<void> => {
      try {
        const latest = await api.get<Activity>('/activity', { signal: abort.signal });
        setFollowing(({ latest: before, samples }) => {
          const sample = before && sampleOf(before, latest);
          return { latest, samples: sample ? [...samples, sample].slice(-SAMPLES_MAX) : samples, error: null };
        });
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof ApiError) setFollowing((following) => ({ ...following, error }));
      }
      if (!abort.signal.aborted) timer = setTimeout(() => void read(), READ_MS);
    };
    void read();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [api]);
  return following;
}
