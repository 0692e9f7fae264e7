// The instruments of prom-client, made from the definitions.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { HISTOGRAMS, type MetricDefinition, VALUES, type ValueName } from './metric-definitions.ts';

/** A number, or null if there is none at the moment. */
export type Read = () => number | null;
export type Reading = readonly [value: number | null, ...labels: string[]];

/** Numbers by label, which are exported. */
export class Tally {
  readonly #counts: Map<string, number>;

  constructor(labels: readonly string[]) {
    this.#counts = new Map(labels.map((label) => [label, 0]));
  }

  add(label: string, change = 1): void {
    this.#counts.set(label, (this.#counts.get(label) ?? 0) + change);
  }

  readings(): Reading[] {
    return readingsOf(this.#counts);
  }
}

export function readingsOf(counts: Iterable<readonly [label: string, count: number]>): Reading[] {
  return Array.from(counts, ([label, count]) => [count, label]);
}

/** The metrics that are read when they are rendered. One that nothing reads is not exported. */
export class Values {
  readonly #reads = new Map<string, (() => Iterable<Reading>)[]>();

  constructor(registry: Registry) {
    const names: ValueName[] = Object.keys(VALUES).filter(isValueName);
    for (const name of names) registry.registerMetric(this.#metricOf(name, VALUES[name]));
  }

  show(name: ValueName, read: Read, ...labels: string[]): void {
    this.showAll(name, () => [[read(), ...labels]]);
  }

  showAll(name: ValueName, read: () => Iterable<Reading>): void {
    this.#reads.set(name, [...(this.#reads.get(name) ?? []), read]);
  }

  /** `labels`: those that are exported from the start, so that their first count is an increase too. */
  tally(name: ValueName, ...labels: string[]): Tally {
    const tally = new Tally(labels);
    this.showAll(name, () => tally.readings());
    return tally;
  }

  #readingsOf(name: string): Reading[] {
    return (this.#reads.get(name) ?? []).flatMap((read) => [...read()]);
  }

  #metricOf(name: string, { type, help, labels = [] }: MetricDefinition): Counter | Gauge {
    const readings = (): Reading[] => this.#readingsOf(name);
    const common = { name, help, labelNames: [...labels], registers: [] };
    if (type === 'counter') {
      return new Counter({
        ...common,
        collect() {
          this.reset();
          if (labels.length === 0) this.remove();
          for (const [value, ...labels] of readings()) if (value !== null) this.labels(...labels).inc(value);
        },
      });
    }
    return new Gauge({
      ...common,
      collect() {
        this.reset();
        if (labels.length === 0) this.remove();
        for (const [value, ...labels] of readings()) if (value !== null) this.labels(...labels).set(value);
      },
    });
  }
}

function isValueName(name: string): name is ValueName {
  return name in VALUES;
}

export function createHistograms(registry: Registry) {
  const create = (name: keyof typeof HISTOGRAMS): Histogram => {
    const { help, buckets, labels = [] }: MetricDefinition = HISTOGRAMS[name];
    return new Histogram({ name, help, labelNames: [...labels], buckets: [...(buckets ?? [])], registers: [registry] });
  };
  return {
    gopherpay_request_seconds: create('gopherpay_request_seconds'),
    gopherpay_intake_transfers: create('gopherpay_intake_transfers'),
    gopherpay_intake_seconds: create('gopherpay_intake_seconds'),
    gopherpay_job_transfers: create('gopherpay_job_transfers'),
    gopherpay_job_seconds: create('gopherpay_job_seconds'),
    gopherpay_settle_seconds: create('gopherpay_settle_seconds'),
    gopherpay_webhook_attempt_seconds: create('gopherpay_webhook_attempt_seconds'),
  };
}
