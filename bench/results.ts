// Renders what was measured as Markdown: bars first, absolute figures after them.
import type { BarResult } from './bars.ts';
import { type Subject, medianOf, type Sample } from './subject.ts';

export type Circumstances = Readonly<Record<string, string>>;

export function renderResults(results: {
  bars: readonly BarResult[];
  subjects: readonly Subject[];
  samples: readonly Sample[];
  circumstances: Circumstances;
}): string {
  const { bars, subjects, samples, circumstances } = results;
  const of = (name: string) => samples.filter(({ subject }) => subject === name);
  const measuredPart = (title: string, explanation: string, columns: Columns): string[] => {
    const rows = measuredTable(subjects, of, columns);
    return rows === null ? [] : [`## ${title}`, explanation, rows];
  };
  return [
    '# Benchmark results',
    'Written by `npm run bench`. Everything ran on the same machine, in turn, load generators included. A ratio is taken within each round; the spread is from the smallest to the largest.',
    '## Bars',
    table(['bar', 'required', 'median', 'spread', 'met'], bars.map(renderBar)),
    '## Figures',
    'Beside each rate, the processor milliseconds per 1,000 transfers, requests, accounts or jobs, by component; medians of the rounds. The whole service also has the threads that collect garbage and compile. Where the load generator settles by itself (sql), its time counts as the generator.',
    table(
      ['subject', 'unit', 'median', 'spread', 'runs', ...COMPONENTS.map(([title]) => title)],
      subjects.map((one) => renderFigures(one, of(one.name))),
    ),
    ...renderBroken(samples),
    ...measuredPart(
      'Milliseconds',
      'From the intended start of a request; with wrk, from the moment it is sent. Medians of the rounds.',
      TIMES,
    ),
    ...measuredPart(
      'Processors',
      'Cores kept busy during the window (1 is one core for all of it). Medians of the rounds. Stolen: taken by other machines of the same host.',
      PROCESSORS,
    ),
    ...measuredPart(
      'Requests',
      'Transfers per second of the window, by what became of them. Medians of the rounds.',
      REQUESTS,
    ),
    ...measuredPart(
      'Memory',
      "Of the service, or of the command, in megabytes. Medians of the rounds; the peak is the kernel's own (VmHWM).",
      MEMORY,
    ),
    '## Circumstances',
    table(
      ['', ''],
      Object.entries(circumstances).map(([name, value]) => [name, value]),
    ),
    '## What ran',
    ...subjects.map((one) => `- **${one.name}**: ${one.what}\n  \`${of(one.name).at(-1)?.command ?? ''}\``),
    '',
  ].join('\n\n');
}

type Columns = readonly (readonly [title: string, name: string])[];

const COMPONENTS: Columns = [
  ['main thread', 'mainThreadMs'],
  ['workers', 'workersMs'],
  ['whole service', 'serviceMs'],
  ['PostgreSQL', 'postgresMs'],
  ['service and PostgreSQL', 'systemMs'],
  ['generator', 'generatorMs'],
];

const TIMES: Columns = [
  ['latency mean', 'latencyMeanMs'],
  ['accepted p50', 'acceptP50Ms'],
  ['accepted p99', 'acceptP99Ms'],
  ['final mean', 'finalMeanMs'],
  ['final p50', 'finalP50Ms'],
  ['final p99', 'finalP99Ms'],
  ['other ledger, idle p50', 'idleP50Ms'],
  ['other ledger, idle p99', 'idleP99Ms'],
  ['beside the flood, p50', 'besideP50Ms'],
  ['beside the flood, p99', 'besideP99Ms'],
  ['429 p50', 'refuseP50Ms'],
  ['429 p99', 'refuseP99Ms'],
];

const PROCESSORS: Columns = [
  ['service, main thread', 'serviceMainThreadCores'],
  ['service, workers', 'serviceWorkersCores'],
  ['service, all threads', 'serviceCores'],
  ['load', 'loadCores'],
  ['PostgreSQL', 'postgresCores'],
  ['machine busy', 'machineBusyCores'],
  ['stolen', 'machineStolenCores'],
];

const REQUESTS: Columns = [
  ['offered/s', 'offeredPerSecond'],
  ['accepted/s', 'acceptedPerSecond'],
  ['refused/s', 'refusedPerSecond'],
  ['failed/s', 'failedPerSecond'],
];

const MEMORY: Columns = [
  ['as the window began', 'rssStartMb'],
  ['as it ended', 'rssEndMb'],
  ['most', 'rssMaxMb'],
  ['peak', 'rssPeakMb'],
];

/** Medians of what some of the subjects measured; subjects and columns without any are left out. Null: there are none. */
function measuredTable(
  subjects: readonly Subject[],
  of: (name: string) => readonly Sample[],
  columns: Columns,
): string | null {
  const median = (subject: string, name: string) => medianMeasured(of(subject), name);
  const shown = columns.filter(([, name]) => subjects.some((one) => median(one.name, name) !== null));
  const rows = subjects
    .filter((one) => shown.some(([, name]) => median(one.name, name) !== null))
    .map((one) => [one.name, ...shown.map(([, name]) => rounded(median(one.name, name)))]);
  return rows.length === 0 ? null : table(['', ...shown.map(([title]) => title)], rows);
}

function medianMeasured(samples: readonly Sample[], name: string): number | null {
  return medianOf(samples.flatMap(({ figure, measured }) => (figure === null ? [] : (measured[name] ?? []))));
}

function renderBar({ bar, values, median, met }: BarResult): string[] {
  const { required, unit } = bar;
  const bound =
    required === null ? '' : `${required.at === 'least' ? '≥' : '≤'} ${required.value}${unit && ` ${unit}`}`;
  const verdict = met === null ? '' : met ? 'yes' : '**no**';
  return [bar.name, bound, `${rounded(median)}${unit && ` ${unit}`}`, spreadOf(values), verdict];
}

function renderFigures({ name, unit }: Subject, samples: readonly Sample[]): string[] {
  const figures = samples.flatMap(({ figure }) => figure ?? []);
  const broken = samples.length - figures.length;
  const runs = `${figures.length}${broken === 0 ? '' : `, and ${broken} without a figure`}`;
  const components = COMPONENTS.map(([, component]) => rounded(medianMeasured(samples, component)));
  return [name, unit, rounded(medianOf(figures)), spreadOf(figures), runs, ...components];
}

function renderBroken(samples: readonly Sample[]): string[] {
  const broken = samples.flatMap(({ subject, round, broken }) =>
    broken === null ? [] : [`- ${subject}, round ${round}: ${broken}`],
  );
  return broken.length === 0 ? [] : [`Without a figure:\n\n${broken.join('\n')}`];
}

function spreadOf(values: readonly number[]): string {
  return values.length === 0 ? '' : `${rounded(Math.min(...values))} – ${rounded(Math.max(...values))}`;
}

function rounded(value: number | null): string {
  if (value === null) return '';
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
