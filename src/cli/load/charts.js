// Draws the charts of a report in the browser, each from the table beside it. It is written into the report as it stands, after uPlot.
/* global document, getComputedStyle, matchMedia, ResizeObserver, uPlot */
const stages = [...document.querySelectorAll('[data-begins]')].map((row) => ({
  begins: Number(row.dataset.begins),
  ends: Number(row.dataset.ends),
  label: row.cells[0].textContent,
}));
/** The room above a chart for the names of the stages, in pixels. */
const STAGE_HEIGHT = 18;
const compact = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 2 });
const exact = new Intl.NumberFormat('en-US', { maximumFractionDigits: 1 });

for (const figure of document.querySelectorAll('figure.chart')) {
  const plot = figure.querySelector('.plot');
  let chart = draw(figure, plot);
  new ResizeObserver(() => chart.setSize(sizeOf(plot))).observe(plot);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    chart.destroy();
    chart = draw(figure, plot);
  });
}

function draw(figure, plot) {
  const rows = [...figure.querySelectorAll('tbody tr')];
  const columns = [...figure.querySelectorAll('thead th')].map((_, column) =>
    rows.map((row) => {
      const value = Number.parseFloat(row.cells[column].textContent);
      return Number.isNaN(value) ? null : value;
    }),
  );
  const lines = [...figure.querySelectorAll('.legend li')];
  const values = columns.slice(1).flat();
  const positive = values.filter((value) => value > 0);
  // Percentiles of an overload are so far apart that the lower ones would be a line at zero.
  const isLog = 'latency' in figure.dataset && Math.max(...positive) / Math.min(...positive) > 50;
  const style = getComputedStyle(plot);
  const [ink, line] = [style.color, style.getPropertyValue('--line')];
  const axis = {
    stroke: ink,
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1 },
    font: '12px system-ui, sans-serif',
  };
  const options = {
    ...sizeOf(plot),
    padding: [STAGE_HEIGHT, 20, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: 'load' }, drag: { x: true, y: false }, points: { size: 7 } },
    scales: {
      x: { time: false },
      y: isLog ? { distr: 3 } : { range: (_, min, max) => [0, Math.max(max * 1.08, min, 1)] },
    },
    axes: [
      { ...axis, values: (_, splits) => splits.map((split) => `${split} s`), space: 60, size: 32 },
      {
        ...axis,
        values: (_, splits) => splits.map((split) => (split === null ? '' : compact.format(split))),
        size: 52,
      },
    ],
    series: [{}, ...lines.map((item) => seriesOf(item, rows.length))],
    hooks: { drawClear: [shade], setCursor: [({ cursor }) => tell(cursor.idx)] },
  };
  const tell = (index) => {
    for (const [at, item] of lines.entries()) {
      const value = index === null || index === undefined ? null : columns[at + 1][index];
      item.querySelector('output').textContent = value === null ? '' : exact.format(value);
    }
  };
  plot.replaceChildren();
  const data = isLog
    ? columns.map((column, at) => (at === 0 ? column : column.map((value) => value || null)))
    : columns;
  return new uPlot(options, data, plot);
}

function seriesOf(item, count) {
  const color = getComputedStyle(item.querySelector('i')).color;
  const isFilled = 'fill' in item.dataset;
  return {
    label: item.textContent,
    stroke: color,
    width: 2,
    dash: 'dash' in item.dataset ? [6, 5] : undefined,
    fill: isFilled ? color.replace('rgb(', 'rgba(').replace(')', ', 0.12)') : undefined,
    points: { show: count <= 40, size: 4 },
  };
}

/** Every second stage is shaded, and the load of each is written above it if there is room. */
function shade({ ctx, bbox, valToPos, scales }) {
  const color = getComputedStyle(document.body).getPropertyValue('--band');
  ctx.save();
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textBaseline = 'middle';
  for (const [index, { begins, ends, label }] of stages.entries()) {
    const left = Math.max(bbox.left, valToPos(Math.max(begins, scales.x.min), 'x', true));
    const right = Math.min(bbox.left + bbox.width, valToPos(Math.min(ends, scales.x.max), 'x', true));
    if (right <= left) continue;
    ctx.fillStyle = color;
    ctx.globalAlpha = index % 2 === 0 ? 0.05 : 0.13;
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.globalAlpha = 1;
    const isRoomy = ctx.measureText(label).width < right - left;
    if (isRoomy) ctx.fillText(label, left, bbox.top - (STAGE_HEIGHT / 2) * devicePixelRatio);
  }
  ctx.restore();
}

function sizeOf(plot) {
  return { width: plot.clientWidth, height: plot.clientWidth < 600 ? 220 : 280 };
}
