// A chart over time, drawn by uPlot in the colors of the page, with a table of its latest values for screen readers.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';

export type Series = {
  readonly name: string;
  /** A custom property of the style sheet, such as --series-1. */
  readonly color: string;
  readonly values: readonly (number | null)[];
  /** A limit is drawn as a dashed line without points. */
  readonly isLimit?: boolean;
  /** A step holds its value until the next point, like a balance. */
  readonly isStep?: boolean;
};

export type ChartProps = {
  readonly label: string;
  /** Seconds since 1970, ascending. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  /** For the ticks of the axis, which have little room; `format` by default. */
  readonly formatAxis?: (value: number) => string;
  readonly height?: number;
};

export function Chart({ label, times, series, format, formatAxis = format, height = 180 }: ChartProps): VNode {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const names = series.map(({ name }) => name).join('\u0000');
  const latest = useRef(dataOf(times, series));
  latest.current = dataOf(times, series);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const draw = (): void => {
      plot.current?.destroy();
      plot.current = new uPlot(optionsOf(element, { series, format: formatAxis, height }), latest.current, element);
    };
    draw();
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    resized.observe(element);
    // The colors are read when it is drawn, so it is drawn again when the theme changes.
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const themed = new MutationObserver(draw);
    themed.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    scheme.addEventListener('change', draw);
    return () => {
      resized.disconnect();
      themed.disconnect();
      scheme.removeEventListener('change', draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names, height]);
  useEffect(() => plot.current?.setData(latest.current), [times, series]);
  // A line needs two points; without any the axis would show years.
  const isEmpty = times.length < 2;
  return html`<figure class="chart">
    <figcaption>
      ${label}
      <span class="legend"
        >${series.map(
          ({ name, color, values, isLimit }) =>
            html`<span key=${name}>
              <i class="swatch ${color.slice(2)}${isLimit ? ' limit' : ''}" aria-hidden="true"></i>
              ${name} <b>${latestOf(values, format)}</b>
            </span>`,
        )}</span
      >
    </figcaption>
    ${isEmpty && html`<p class="empty plot-empty">There are too few figures for a line yet.</p>`}
    <div
      ref=${box}
      class="plot ${isEmpty ? 'hidden' : ''}"
      role="img"
      aria-label=${describe(label, series, format)}
    ></div>
  </figure>`;
}

function latestOf(values: readonly (number | null)[], format: (value: number) => string): string {
  const latest = values.findLast((value) => value !== null);
  return latest === undefined || latest === null ? '–' : format(latest);
}

function describe(label: string, series: readonly Series[], format: (value: number) => string): string {
  return `${label}: ${series.map(({ name, values }) => `${name}, latest ${latestOf(values, format)}`).join('; ')}`;
}

function dataOf(times: readonly number[], series: readonly Series[]): uPlot.AlignedData {
  return [[...times], ...series.map(({ values }) => [...values])];
}

function optionsOf(
  element: HTMLElement,
  { series, format, height }: { series: readonly Series[]; format: (value: number) => string; height: number },
): uPlot.Options {
  const colorOf = (name: string): string => resolveColor(element, name);
  const grid = { stroke: colorOf('--plot-grid'), width: 1 };
  const axis = { stroke: colorOf('--muted'), font: '11px system-ui', grid, ticks: { show: false } };
  return {
    width: element.clientWidth,
    height,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    padding: [8, 8, 0, 0],
    scales: {
      y: { range: (_plot, min, max) => rangeWithZero(min, max) },
    },
    axes: [
      { ...axis, space: 70, values: TIME_LABELS },
      { ...axis, size: 64, values: (_plot, ticks) => ticks.map((tick) => format(tick)) },
    ],
    series: [
      {},
      ...series.map(({ name, color, isLimit, isStep }) => ({
        label: name,
        stroke: colorOf(color),
        width: isLimit ? 1 : 2,
        points: { show: false },
        ...(isLimit && { dash: [6, 4] }),
        ...(!isLimit && { fill: fade(colorOf(color)) }),
        ...(isStep && uPlot.paths.stepped && { paths: uPlot.paths.stepped({ align: 1 }) }),
      })),
    ],
  };
}

/** Labels of the time axis, by the seconds between two of them: the label, and a second line where a day or year begins. */
const TIME_LABELS: uPlot.Axis.Values = [
  [31_536_000, '{YYYY}', null, null, null, null, null, null, 1],
  [86_400, '{MM}-{DD}', '\n{YYYY}', null, null, null, null, null, 1],
  [60, '{HH}:{mm}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{YYYY}-{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
];

/** From zero, which a balance may be on either side of, to a little beyond the values. */
function rangeWithZero(min: number, max: number): [number, number] {
  const low = Math.min(0, min);
  const high = Math.max(0, max);
  if (low === high) return [0, 1];
  const room = (high - low) * 0.1;
  return [low === 0 ? 0 : low - room, high === 0 ? 0 : high + room];
}

/** The color that a custom property means in the present theme. A canvas does not understand light-dark(). */
function resolveColor(element: HTMLElement, name: string): string {
  element.style.color = `var(${name})`;
  const { color } = getComputedStyle(element);
  element.style.color = '';
  return color;
}

function fade(color: string): string {
  return color.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.13)');
}
