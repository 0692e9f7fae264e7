// The bars: what is compared with what, and what is required of it. A ratio is taken within each round, between neighbours
// in time, and then the median of the rounds.
import { medianOf, type Sample } from './contestant.ts';

/** One round, as a bar looks at it; null where there is nothing. */
type Round = {
  readonly figure: (contestant: string) => number | null;
  readonly measured: (contestant: string, name: string) => number | null;
};

export type Bar = {
  readonly name: string;
  readonly unit: '' | 'MB' | 'ms';
  /** Null: told, not required. */
  readonly required: { readonly at: 'least' | 'most'; readonly value: number } | null;
  readonly of: (round: Round) => number | null;
};

export type BarResult = {
  readonly bar: Bar;
  readonly values: readonly number[];
  readonly median: number | null;
  readonly met: boolean | null;
};

const ratio = (dividend: number | null, divisor: number | null) =>
  dividend === null || divisor === null || divisor === 0 ? null : dividend / divisor;
const least = (value: number) => ({ at: 'least', value }) as const;
const most = (value: number) => ({ at: 'most', value }) as const;

function compare(dividend: string, divisor: string, required: Bar['required'] = null, what = ''): Bar {
  const name = `${dividend} ÷ ${divisor}${what}`;
  return { name, unit: '', required, of: ({ figure }) => ratio(figure(dividend), figure(divisor)) };
}

function told(
  name: string,
  unit: Bar['unit'],
  contestant: string,
  measured: string,
  required: Bar['required'] = null,
): Bar {
  return { name, unit, required, of: (round) => round.measured(contestant, measured) };
}

function timeToFinal(percentile: 'P50' | 'P99', required: number): Bar {
  return {
    name: `half: ${percentile.toLowerCase()} of time to final ÷ mean latency of naive`,
    unit: '',
    required: most(required),
    of: ({ measured }) => ratio(measured('half', `final${percentile}Ms`), measured('naive', 'latencyMeanMs')),
  };
}

export function listBars(contestants: readonly string[]): Bar[] {
  const trees = contestants.filter((name) => name.startsWith('single ('));
  return [
    compare('single', 'naive', least(5)),
    compare('bulk', 'naive', least(8)),
    compare('hot4', 'naive'),
    compare('hot1', 'naive'),
    compare('single', 'http'),
    compare('single', 'sql'),
    compare('bulk', 'sql', least(0.8)),
    compare('hot4', 'single', least(1)),
    compare('hot1', 'single', least(1)),
    ...trees.map((name) => compare('single', name)),
    compare('long', 'single', least(0.85)),
    compare('wide', 'single', least(0.7)),
    compare('overload', 'single', least(0.9), ' (settled at twice the load)'),
    told('overload: p50 of time to 429', 'ms', 'overload', 'refuseP50Ms'),
    told('overload: p99 of time to 429', 'ms', 'overload', 'refuseP99Ms'),
    {
      name: 'overload: memory at the end ÷ at the start of the window',
      unit: '',
      required: null,
      of: ({ measured }) => ratio(measured('overload', 'rssEndMb'), measured('overload', 'rssStartMb')),
    },
    timeToFinal('P50', 2),
    timeToFinal('P99', 10),
    compare('report', 'copy', least(0.5), ' (rows per second)'),
    told('report: memory at most', 'MB', 'report', 'rssPeakMb', most(200)),
    told('memory of the service under single', 'MB', 'single', 'rssPeakMb', most(350)),
    told('memory of the service under bulk', 'MB', 'bulk', 'rssPeakMb', most(350)),
    compare('start', 'bare start', most(3)),
  ];
}

/** The bars that the samples say anything about. */
export function judge(bars: readonly Bar[], samples: readonly Sample[]): BarResult[] {
  const rounds = new Set(samples.map(({ round }) => round));
  return bars
    .map((bar): BarResult => {
      const values = [...rounds].flatMap((round) => bar.of(viewOf(samples, round)) ?? []);
      const median = medianOf(values);
      const { required } = bar;
      const met =
        required === null || median === null
          ? null
          : required.at === 'least'
            ? median >= required.value
            : median <= required.value;
      return { bar, values, median, met };
    })
    .filter(({ values }) => values.length > 0);
}

function viewOf(samples: readonly Sample[], round: number): Round {
  const find = (contestant: string) =>
    samples.find((sample) => sample.round === round && sample.contestant === contestant && sample.figure !== null);
  return {
    figure: (contestant) => find(contestant)?.figure ?? null,
    measured: (contestant, name) => find(contestant)?.measured[name] ?? null,
  };
}
