// The bars: the compared figures, and the requirement for each. A ratio is taken within each round, between neighbors
// in time, and then the median of the rounds.
import { medianOf, type Sample, splitName } from './subject.ts';

/** One round as read by a bar; null for a missing figure. */
type Round = {
  readonly figure: (subject: string) => number | null;
  readonly measured: (subject: string, name: string) => number | null;
};

export type Bar = {
  readonly name: string;
  readonly unit: '' | 'MB' | 'ms';
  /** Null: reported, not required. */
  readonly required: { readonly at: 'least' | 'most'; readonly value: number } | null;
  readonly of: (round: Round) => number | null;
};

export type BarResult = {
  readonly bar: Bar;
  readonly values: readonly number[];
  readonly median: number | null;
  readonly met: boolean | null;
};

/** Measured once, for all checkouts. */
const SHARED = new Set(['naive', 'http', 'bare-http', 'copy', 'report', 'bare start', 'start']);

const ratio = (dividend: number | null, divisor: number | null) =>
  dividend === null || divisor === null || divisor === 0 ? null : dividend / divisor;
const least = (value: number) => ({ at: 'least', value }) as const;
const most = (value: number) => ({ at: 'most', value }) as const;

/** The bars of every checkout that the subjects are taken from, and the comparisons of this one with the others. */
export function listBars(subjects: readonly string[]): Bar[] {
  const others = subjects.filter((name) => splitName(name).suffix !== '');
  return [
    ...others.flatMap(listComparisons),
    ...[...new Set(['', ...others.map((name) => splitName(name).suffix)])].flatMap(listBarsOfTree),
  ];
}

/** This checkout against another one: the rate, and the processor time for it. */
function listComparisons(other: string): Bar[] {
  const { base: name } = splitName(other);
  return [
    { name: `${name} ÷ ${other}`, unit: '', required: null, of: ({ figure }) => ratio(figure(name), figure(other)) },
    {
      name: `${name} ÷ ${other}: processor time`,
      unit: '',
      required: null,
      of: ({ measured }) => ratio(measured(name, 'systemMs'), measured(other, 'systemMs')),
    },
  ];
}

function listBarsOfTree(suffix: string): Bar[] {
  const own = (subject: string) => (SHARED.has(subject) ? subject : `${subject}${suffix}`);
  const compare = (dividend: string, divisor: string, required: Bar['required'] = null, what = ''): Bar => ({
    name: `${own(dividend)} ÷ ${own(divisor)}${what}`,
    unit: '',
    required,
    of: ({ figure }) => ratio(figure(own(dividend)), figure(own(divisor))),
  });
  const report = (
    subject: string,
    what: string,
    measured: string,
    unit: Bar['unit'],
    required: Bar['required'] = null,
  ): Bar => ({
    name: `${own(subject)}: ${what}`,
    unit,
    required,
    of: (round) => round.measured(own(subject), measured),
  });
  const processor = (subject: string, required: number): Bar =>
    report(subject, 'processor time per 1,000, without the generator', 'systemMs', 'ms', most(required));
  const memory = (subject: string): Bar => report(subject, 'memory of the service', 'rssPeakMb', 'MB');
  const timeToFinal = (percentile: 'P50' | 'P99', required: number): Bar => ({
    name: `${own('half')}: ${percentile.toLowerCase()} of time to final ÷ mean latency of naive`,
    unit: '',
    required: most(required),
    of: ({ measured }) => ratio(measured(own('half'), `final${percentile}Ms`), measured('naive', 'latencyMeanMs')),
  });
  const delayed = (subject: string): Bar => ({
    name: `${own(subject)}: p99 of another ledger ÷ its p99 without the flood`,
    unit: '',
    required: most(3),
    of: ({ measured }) => ratio(measured(own(subject), 'besideP99Ms'), measured(own(subject), 'idleP99Ms')),
  });
  const keys = (what: string, of: Bar['of'], required: Bar['required']): Bar => ({
    name: `${own('keyed')}: ${what} with a key ÷ without, at the same time`,
    unit: '',
    required,
    of,
  });
  const waited = (subject: string): Bar => ({
    name: `${own(subject)}: time that the threads of the service waited for a processor ÷ ran`,
    unit: '',
    required: null,
    of: ({ measured }) => measured(own(subject), 'besideWaitedRatio'),
  });
  const bars = [
    processor('single-64', 120),
    processor('single-256', 100),
    processor('wait-64', 150),
    processor('wait-256', 105),
    processor('bulk', 55),
    compare('single-256', 'bare-http', least(0.55)),
    keys('throughput', ({ figure }) => figure(own('keyed')), least(0.97)),
    keys('processor time of the service', ({ measured }) => measured(own('keyed'), 'serviceMsRatio'), null),
    compare('bulk', 'sql', least(0.95)),
    timeToFinal('P50', 3),
    timeToFinal('P99', 10),
    compare('overload', 'single-256', least(0.7), ' (settled at twice the load)'),
    compare('openings', 'single-64', least(0.3)),
    compare('ledgers-8', 'ledgers-1', least(5), ' (jobs per second, 10 ms more per sync)'),
    delayed('beside-64'),
    delayed('beside-256'),
    delayed('beside-1000'),
    waited('beside-64'),
    waited('beside-256'),
    waited('beside-1000'),
    compare('slow-10', 'slow-2', least(0.9), ' (threads, 10 ms more per sync)'),
    memory('single'),
    memory('single-64'),
    memory('single-256'),
    memory('bulk'),
    compare('single', 'naive', least(5)),
    compare('bulk', 'naive', least(8)),
    compare('hot4', 'naive'),
    compare('hot1', 'naive'),
    compare('single', 'http'),
    compare('single', 'sql'),
    compare('hot4', 'single', least(1)),
    compare('hot1', 'single', least(1)),
    compare('long', 'single', least(0.85)),
    compare('wide', 'single', least(0.7)),
    {
      name: `${own('overload')}: memory at the end ÷ at the start of the window`,
      unit: '',
      required: null,
      of: ({ measured }) => ratio(measured(own('overload'), 'rssEndMb'), measured(own('overload'), 'rssStartMb')),
    } satisfies Bar,
  ];
  if (suffix !== '') return bars;
  return [
    ...bars,
    compare('report', 'copy', least(0.5), ' (rows per second)'),
    report('report', 'memory at most', 'rssPeakMb', 'MB', most(200)),
    compare('start', 'bare start', most(3)),
  ];
}

/** The bars for which there are samples. */
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
  const find = (subject: string) =>
    samples.find((sample) => sample.round === round && sample.subject === subject && sample.figure !== null);
  return {
    figure: (subject) => find(subject)?.figure ?? null,
    measured: (subject, name) => find(subject)?.measured[name] ?? null,
  };
}
