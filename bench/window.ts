// Waits for the window of a load to pass, and measures the processes in it.
import type { Bench } from './bench.ts';
import type { Measured } from './subject.ts';
import {
  familySeconds,
  lineLike,
  machineSeconds,
  memoryOf,
  processorSeconds,
  type Started,
  threadSeconds,
} from './processes.ts';

export type Window = {
  /** When it began and ended, in milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
  readonly measured: Measured;
};

/** What waits until the window begins, and until it ends. */
export type Marks = { readonly begin: () => Promise<unknown>; readonly end: () => Promise<unknown> };

/** The marks of a load that prints them. */
export function marksOf(load: Started): Marks {
  return {
    begin: async () => await lineLike(load, /^measuring$/, 'The load'),
    end: async () => await lineLike(load, /^measured$/, 'The load'),
  };
}

/** Processor time is reported in cores: 1 is one core kept busy for the whole window. */
export async function passWindow(bench: Bench, marks: Marks, load: Started, service: Started | null): Promise<Window> {
  await marks.begin();
  const from = performance.now() + performance.timeOrigin;
  const before = readProcessors(bench, load, service);
  const memory = service && { rssStartMb: memoryOf(service.id).now };
  await marks.end();
  const to = performance.now() + performance.timeOrigin;
  const after = readProcessors(bench, load, service);
  const remembered = service && { ...memory, rssEndMb: memoryOf(service.id).now };
  const cores = Object.entries(after).map(([name, seconds]): [string, number] => [
    name,
    (seconds - (before[name] ?? 0)) / ((to - from) / 1000),
  ]);
  return { from, to, measured: { windowSeconds: (to - from) / 1000, ...Object.fromEntries(cores), ...remembered } };
}

/**
 * Processor milliseconds per 1,000 of what was counted, by component. `systemMs` is the service and PostgreSQL together, without the
 * generator.
 */
export function processorTime(measured: Measured, perSecond: number): Measured {
  if (perSecond === 0) return {};
  const time = (name: string, ...cores: readonly (number | undefined)[]): Measured => {
    const known = cores.filter((one) => one !== undefined);
    if (known.length < cores.length) return {};
    return { [name]: (known.reduce((sum, one) => sum + one, 0) * 1_000_000) / perSecond };
  };
  const { serviceCores: service, serviceMainThreadCores: main, serviceWorkersCores: workers } = measured;
  const { postgresCores: postgres, loadCores: load } = measured;
  return {
    ...time('mainThreadMs', main),
    ...time('workersMs', workers),
    ...time('serviceMs', service),
    ...time('postgresMs', postgres),
    ...time('systemMs', service, postgres),
    ...time('generatorMs', load),
  };
}

function readProcessors(bench: Bench, load: Started, service: Started | null): Record<string, number> {
  const machine = machineSeconds();
  const threads = service && threadSeconds(service.id);
  return {
    ...(service &&
      threads && {
        serviceMainThreadCores: threads.main,
        serviceWorkersCores: threads.workers,
        serviceCores: processorSeconds(service.id),
      }),
    loadCores: processorSeconds(load.id),
    postgresCores: familySeconds(bench.cluster.postmasterId),
    machineBusyCores: machine.busy,
    machineStolenCores: machine.stolen,
  };
}
