// The dashboard, the alerts and docs/METRICS.md name exactly the metrics that a running service and an audit export.
// Method: the names and labels in every query are compared with the rendered text; promtool parses every query.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { z } from 'zod';
import { renderAuditMetrics } from '../../src/cli/audit-metrics.ts';
import { METRICS } from '../../src/main/engine/metric-definitions.ts';
import { VERSION } from '../../src/version.ts';
import { createDatabase } from '../support/database.ts';
import { readMetricsPage, renderMetricsPage } from '../support/metrics-page.ts';
import { makeFolder, request, startService } from '../support/service.ts';

const ROOT = dirname(dirname(import.meta.dirname));
const RULES = join(ROOT, 'deploy/prometheus/alerts.yaml');
const run = promisify(execFile);

const rule = z.strictObject({
  alert: z.string(),
  expr: z.string(),
  for: z.string().optional(),
  labels: z.strictObject({ severity: z.enum(['critical', 'warning', 'info']) }),
  annotations: z.strictObject({ summary: z.string(), description: z.string(), runbook: z.string() }),
});
const rulesFile = z.object({ groups: z.array(z.object({ rules: z.array(rule) })) });
const testsFile = z.object({
  tests: z.array(
    z.object({ alert_rule_test: z.array(z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()) })) }),
  ),
});
const area = z.object({ h: z.int(), w: z.int(), x: z.int(), y: z.int() });
const panel = z.object({
  id: z.int(),
  type: z.string(),
  title: z.string().min(1),
  description: z.string().optional(),
  gridPos: area,
  datasource: z.object({ uid: z.string() }).optional(),
  targets: z.array(z.object({ expr: z.string(), datasource: z.object({ uid: z.string() }) })).optional(),
  fieldConfig: z.object({ defaults: z.object({ unit: z.string() }) }).optional(),
});
const dashboardFile = z.object({
  uid: z.literal('gopherpay'),
  schemaVersion: z.int().min(39),
  templating: z.object({
    list: z.array(z.object({ name: z.string(), type: z.string(), allValue: z.string().optional() })),
  }),
  panels: z.array(panel),
});

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const alerts = rulesFile.parse(parse(readFileSync(RULES, 'utf8'))).groups.flatMap(({ rules }) => rules);
const dashboard = dashboardFile.parse(JSON.parse(read('deploy/grafana/gopherpay.json')));
const panels = dashboard.panels.filter(({ type }) => type !== 'row');
const queries = [
  ...alerts.map(({ expr }) => expr),
  ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
];

/** Labels that Prometheus adds to each sample, and those of its histograms and of prom-client. */
const ADDED_LABELS = ['job', 'instance', 'le', 'kind'];

/** What a service exports that has settled a transfer, and an audit. */
let text: string;
let exported: Set<string>;

before(async (t) => {
  const service = await startService(t, { database: await createDatabase(t) });
  for (const account_number of ['ANN', 'BOB']) {
    const opened = await request(service, 'POST', '/accounts', { account_number, name: account_number });
    assert.equal(opened.status, 201, opened.text);
  }
  const order = { from_account: 'ANN', to_account: 'BOB', amount: 1 };
  const answer = await request(service, 'POST', '/transfers', order, { Prefer: 'wait=10' });
  assert.equal(answer.body['status'], 'failed', answer.text);
  ({ text } = await request(service, 'GET', '/metrics'));
  const journals = [{ ledger: 'main', number: '1', hash: null, discrepancies: 0 }];
  text += renderAuditMetrics({ journals, at: '', discrepancies: 0 }, { former: '', durationMs: 1, now: 1 });
  exported = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name));
});

/** The metrics that a query names, without the suffixes of histograms. */
function namesIn(query: string): string[] {
  const names = [...query.matchAll(/\b(?:gopherpay|process|nodejs)_\w+/g)].map(([name]) => name);
  return names.map((name) => (exported.has(name) ? name : name.replace(/_(?:bucket|sum|count)$/, '')));
}

test('metrics: a service exports exactly the defined metrics, and those of its process', () => {
  const own = [...exported].filter((name) => !/^(?:process|nodejs|gopherpay_audit)_/.test(name));
  assert.deepEqual(own.toSorted(), Object.keys(METRICS).toSorted());
  assert.match(text, /^gopherpay_ledger_transfers_settled_total\{ledger="main",result="failed"\} 1$/m);
  assert.match(text, /^gopherpay_ledger_journal_number\{ledger="main"\} [1-9]/m);
  assert.ok(text.includes(`\ngopherpay_build_info{version="${VERSION}",node="${process.versions.node}"} 1\n`));
  assert.match(text, /^nodejs_eventloop_lag_p99_seconds /m);
});

test('metrics: docs/METRICS.md lists every metric as it is defined', () => {
  const page = readMetricsPage();
  assert.equal(renderMetricsPage(page), page, 'Run npm run metrics.');
  const audits = [...exported].filter((name) => name.startsWith('gopherpay_audit_'));
  for (const name of audits) assert.ok(page.includes(`| \`${name}\` |`), `docs/METRICS.md does not list ${name}.`);
});

test('metrics: the dashboard and the alerts name exported metrics only', () => {
  const unknown = queries.flatMap((query) => namesIn(query).filter((name) => !exported.has(name)));
  assert.deepEqual(unknown, []);
});

test('metrics: every metric of the service is on the dashboard or in an alert', () => {
  const used = new Set(queries.flatMap(namesIn));
  assert.deepEqual(
    Object.keys(METRICS).filter((name) => !used.has(name)),
    [],
  );
});

test('metrics: queries select labels that the metrics have', () => {
  const wrong = queries.flatMap((query) =>
    [...query.matchAll(/(gopherpay_\w+)\{([^}]*)\}/g)].flatMap(([, name = '', selectors = '']) => {
      const [base = ''] = namesIn(name);
      const labels = [...(METRICS[base]?.labels ?? ['ledger']), ...ADDED_LABELS];
      const selected = [...selectors.matchAll(/(\w+)(?:=~|!~|!=|=)"/g)].map(([, label = '']) => label);
      return selected.filter((label) => !labels.includes(label)).map((label) => `${name}{${label}}`);
    }),
  );
  assert.deepEqual(wrong, []);
});

test('alerts: each leads to its heading in the runbooks, and no heading is left over', () => {
  const headings = [...read('docs/RUNBOOKS.md').matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
  assert.deepEqual(
    headings,
    alerts.map(({ alert }) => alert),
  );
  for (const { alert, annotations } of alerts) {
    assert.equal(annotations.runbook, `docs/RUNBOOKS.md#${alert.toLowerCase()}`);
  }
});

test('alerts: each has a test in which it fires, and one in which it is silent', () => {
  const tests = testsFile.parse(parse(read('deploy/prometheus/alerts.test.yaml'))).tests;
  const tested = tests.flatMap(({ alert_rule_test: all }) => all);
  const namesOf = (fires: boolean) =>
    tested.filter((each) => each.exp_alerts.length > 0 === fires).map(({ alertname }) => alertname);
  const names = alerts.map(({ alert }) => alert);
  assert.deepEqual(namesOf(true), names);
  assert.deepEqual(namesOf(false), names);
});

test('dashboard: every panel has a unit, a description, and the data source that the reader chooses', () => {
  assert.ok(dashboard.templating.list.some(({ name, type }) => name === 'datasource' && type === 'datasource'));
  for (const { title, description, fieldConfig, datasource, targets = [] } of panels) {
    assert.ok(description, `The panel ${title} has no description.`);
    assert.ok(fieldConfig?.defaults.unit, `The panel ${title} has no unit.`);
    assert.ok(targets.length > 0, `The panel ${title} has no query.`);
    const sources = [datasource, ...targets.map((target) => target.datasource)].map((source) => source?.uid);
    assert.deepEqual([...new Set(sources)], ['${datasource}'], title);
  }
  const ids = dashboard.panels.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});

test('dashboard: all jobs and processes are chosen by what they have, whatever a variable lists', () => {
  const chosen = dashboard.templating.list.filter(({ type }) => type === 'query');
  assert.deepEqual(
    chosen.map(({ name, allValue }) => [name, allValue]),
    [
      ['job', '.+'],
      ['instance', '.+'],
    ],
  );
});

test('dashboard: no panel covers another one', () => {
  const taken = new Set<string>();
  for (const { title, gridPos } of dashboard.panels) {
    assert.ok(gridPos.x + gridPos.w <= 24, title);
    for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        assert.ok(!taken.has(`${x},${y}`), `The panel ${title} covers another one.`);
        taken.add(`${x},${y}`);
      }
    }
  }
});

/** Prometheus is no requirement of the project. CI installs it, and sets METRICS_PROMTOOL so that nothing is skipped. */
const PROMTOOL = process.env['METRICS_PROMTOOL'] ?? 'promtool';
const skip =
  process.env['METRICS_PROMTOOL'] === undefined && spawnSync(PROMTOOL, ['--version']).error !== undefined
    ? 'promtool is not installed'
    : false;

test('promtool: the alerts pass their tests, and the configuration is valid', { skip }, async () => {
  await run(PROMTOOL, ['check', 'rules', RULES]);
  await run(PROMTOOL, ['test', 'rules', join(ROOT, 'deploy/prometheus/alerts.test.yaml')]);
  await run(PROMTOOL, ['check', 'config', '--syntax-only', join(ROOT, 'deploy/prometheus/prometheus.yml')]);
});

test('promtool: the names and texts of the metrics keep to the conventions', { skip }, async () => {
  // Three gauges of prom-client end in _total.
  const own = text.split('\n').filter((line) => line.includes('gopherpay_'));
  const checking = run(PROMTOOL, ['check', 'metrics']);
  checking.child.stdin?.end(`${own.join('\n')}\n`);
  const { stdout, stderr } = await checking;
  assert.equal(stdout + stderr, '');
});

test('promtool: every query of the dashboard can be parsed', { skip }, async (t) => {
  const rules = panels.flatMap(({ targets = [] }) =>
    targets.map(({ expr }) => ({ record: 'checked', expr: expr.replaceAll('$__rate_interval', '1m') })),
  );
  const file = join(await makeFolder(t), 'rules.json');
  // JSON is YAML.
  await writeFile(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
  await run(PROMTOOL, ['check', 'rules', '--lint=none', file]);
});
