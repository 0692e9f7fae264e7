// The progress of a load test on standard error: on a terminal one block that is drawn again and again, otherwise a line now and then.
import { clearScreenDown, moveCursor } from 'node:readline';
import { styleText } from 'node:util';
import type { Row, Series } from '../../load/series.ts';
import { renderLoad, secondsOf, type Stage } from '../../load/stages.ts';
import { plain } from '../remote/text.ts';

const DRAW_MS = 500;
const LINE_MS = 3000;
const WIDTH_MAX = 100;
const BARS = '▁▂▃▄▅▆▇█';
const NUMBER = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });

type Color = 'dim' | 'green' | 'yellow' | 'red' | 'cyan' | 'magenta';
type Paint = (color: Color, text: string) => string;
/** A part of a line that is not divided. */
type Cell = { readonly text: string; readonly color?: Color };

/** Shows the progress until the returned function is called. `unsettled`: transfers that are accepted and not known to be final. */
export function showProgress(series: Series, bulk: number, unsettled: () => number): () => void {
  const { stderr } = process;
  if (!stderr.isTTY) {
    const timer = setInterval(() => stderr.write(`${renderLine(series, unsettled())}\n`), LINE_MS);
    return () => clearInterval(timer);
  }
  // It honors NO_COLOR, and terminals without colors.
  const paint: Paint = (color, text) => styleText(color, text, { stream: stderr });
  let drawn = 0;
  const draw = () => {
    const width = Math.min(stderr.columns || 80, WIDTH_MAX) - 1;
    const lines = renderBlock({ series, bulk, unsettled: unsettled(), rows: series.lastRows(WIDTH_MAX) }, width, paint);
    if (drawn > 0) moveCursor(stderr, -width, -drawn);
    clearScreenDown(stderr);
    stderr.write(`${lines.join('\n')}\n`);
    drawn = lines.length;
  };
  draw();
  const timer = setInterval(draw, DRAW_MS);
  return () => {
    clearInterval(timer);
    draw();
  };
}

/** The progress so far, in one line. */
export function renderLine(series: Series, unsettled: number): string {
  const seconds = Math.round(series.elapsedMs / 1000);
  const { offered, accepted, refused, failed, settled } = series;
  return `${seconds} s  offered ${offered}  accepted ${accepted}  429 ${refused}  failed ${failed}  settled ${settled}  on their way ${unsettled}`;
}

type View = {
  readonly series: Pick<Series, 'plan' | 'elapsedMs' | 'inFlight' | 'intervalSeconds'>;
  readonly bulk: number;
  readonly unsettled: number;
  /** The intervals that are over, the last one last. */
  readonly rows: readonly Row[];
};

/** The block for a terminal of this width. */
export function renderBlock({ series, bulk, unsettled, rows }: View, width: number, paint: Paint): string[] {
  const last = rows.at(-1);
  const perSecond = (count: number | undefined) => number((count ?? 0) / series.intervalSeconds);
  const answers = Object.entries(last?.answers ?? {});
  const codes = answers.filter(([code]) => code !== '200' && code !== '202');
  const ms = (value: number | undefined) => (value === undefined ? '–' : `${number(value)} ms`);
  return [
    ...wrap('stage', stageCells(series), width, paint),
    ...wrap(
      'rate',
      [
        { text: `wanted ${wantedText(series, last, bulk)}` },
        { text: `sent ${perSecond(last?.sent)}/s` },
        { text: `in flight ${number(series.inFlight)}` },
        { text: `to settle ${number(unsettled)}` },
      ],
      width,
      paint,
    ),
    ...wrap(
      'answers/s',
      [
        { text: `200 ${perSecond(last?.answers['200'])}`, color: 'green' },
        { text: `202 ${perSecond(last?.answers['202'])}`, color: 'green' },
        { text: `429 ${perSecond(last?.refused)}`, ...(last?.refused ? { color: 'yellow' } : {}) },
        { text: `other ${perSecond(last?.failed)}`, ...(last?.failed ? { color: 'red' } : {}) },
        ...codes.slice(0, 3).map(([code]): Cell => ({ text: plain(code), color: 'dim' })),
      ],
      width,
      paint,
    ),
    ...wrap(
      'latency',
      [
        { text: `accepted p50 ${ms(last?.acceptMs?.p50)}` },
        { text: `p99 ${ms(last?.acceptMs?.p99)}` },
        { text: `final p50 ${ms(last?.finalMs?.p50)}` },
        { text: `p99 ${ms(last?.finalMs?.p99)}` },
      ],
      width,
      paint,
    ),
    sparkLine(
      'settled/s',
      rows.map((row) => row.settled / series.intervalSeconds),
      'cyan',
      width,
      paint,
    ),
    sparkLine(
      'p99 ms',
      rows.map((row) => row.acceptMs?.p99 ?? null),
      'magenta',
      width,
      paint,
    ),
  ];
}

const LABEL_WIDTH = 11;
const VALUE_WIDTH = 10;

/** Which stage it is, and how far the load is. */
function stageCells({ plan, elapsedMs }: View['series']): Cell[] {
  const { stages, unit } = plan;
  const [seconds, total] = [elapsedMs / 1000, secondsOf(stages)];
  const [index, stage] = stageAt(stages, seconds);
  if (!stage) return [{ text: 'over: waiting until all accepted transfers are final' }];
  const share = Math.min(1, seconds / total);
  const done = Math.round(share * 20);
  return [
    { text: `${index + 1} of ${stages.length}: ${renderLoad(stage, unit)}` },
    { text: `${Math.floor(seconds)} of ${number(total)} s` },
    { text: '━'.repeat(done) + '─'.repeat(20 - done), color: 'dim' },
  ];
}

function stageAt(stages: readonly Stage[], second: number): [index: number, stage: Stage | undefined] {
  let endsAt = 0;
  const index = stages.findIndex((stage) => second < (endsAt += stage.seconds));
  return [index, stages[index]];
}

function wantedText({ plan }: View['series'], last: Row | undefined, bulk: number): string {
  const wanted = last?.wanted;
  if (wanted === null || wanted === undefined) return '–';
  return plan.unit === 'connections' ? `${Math.round(wanted)} connections` : `${number(wanted * bulk)}/s`;
}

/** A label and cells, on as many lines as the width needs. */
function wrap(label: string, cells: readonly Cell[], width: number, paint: Paint): string[] {
  const lines: { text: string; length: number }[] = [];
  for (const { text, color } of cells) {
    const cut = text.slice(0, Math.max(1, width - LABEL_WIDTH));
    const painted = color ? paint(color, cut) : cut;
    const line = lines.at(-1);
    if (line && line.length + 2 + cut.length <= width) {
      line.text += `  ${painted}`;
      line.length += 2 + cut.length;
    } else {
      const head = (lines.length === 0 ? label : '').padEnd(LABEL_WIDTH);
      lines.push({ text: `${paint('dim', head)}${painted}`, length: LABEL_WIDTH + cut.length });
    }
  }
  return lines.map(({ text }) => text);
}

function sparkLine(
  label: string,
  values: readonly (number | null)[],
  color: Color,
  width: number,
  paint: Paint,
): string {
  const shown = values.slice(-Math.max(1, width - LABEL_WIDTH - VALUE_WIDTH));
  const last = values.at(-1);
  const value = last === null || last === undefined ? '–' : number(last);
  return `${paint('dim', label.padEnd(LABEL_WIDTH))}${paint(color, sparkline(shown))} ${value}`;
}

/** One character for each value, from the lowest bar for 0 to the highest for the greatest value; null is a space. */
export function sparkline(values: readonly (number | null)[]): string {
  const max = Math.max(...values.map((value) => value ?? 0), Number.MIN_VALUE);
  return values
    .map((value) => (value === null ? ' ' : (BARS[Math.round((value / max) * (BARS.length - 1))] ?? ' ')))
    .join('');
}

function number(value: number): string {
  return NUMBER.format(value >= 100 ? Math.round(value) : value);
}
