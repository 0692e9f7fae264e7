// Follows the figures of the service: one reading a second, and the last five minutes of them.
import { useEffect, useState } from 'preact/hooks';
import { type Sample, sampleOf } from './activity.ts';
import { ApiError } from './api.ts';
import type { FeedFigures } from './feed-figures.ts';
import { useSession } from './session.ts';
import type { Activity } from './wire.ts';

const READ_MS = 1000;
const SAMPLES_MAX = 300;

export type Following = {
  readonly latest: Activity | null;
  readonly samples: readonly Sample[];
  readonly error: ApiError | null;
};

/** `takeFigures`: what the feed says of the time since the last reading. */
export function useActivity(takeFigures: () => FeedFigures | null): Following {
  const { api } = useSession();
  const [following, setFollowing] = useState<Following>({ latest: null, samples: [], error: null });
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = async (): Promise<void> => {
      try {
        const latest = await api.get<Activity>('/activity', { signal: abort.signal });
        const figures = takeFigures();
        setFollowing(({ latest: before, samples }) => {
          const sample = before && sampleOf(before, latest, figures);
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
  }, [api, takeFigures]);
  return following;
}
