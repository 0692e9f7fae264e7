// Waits for the window of a load to pass, and measures the processes in it.
import type { Bench } from './bench.ts';
import type { Measured } from './contestant.ts';
import {
  familySeconds,
  lineLike,
  machineSeconds,
  mainThreadSeconds,
  memoryOf,
  processorSeconds,
  type Started,
} from './processes.ts';

export type Window = {
  /** When it began and ended, in milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
  readonly measured: Measured;
};

/** Processor time is told in cores: 1 is one core kept busy for the whole window. */
export async function passWindow(bench: Bench, load: Started, service: Started | null): Promise<Window> {
  await lineLike(load, /^measuring$/, 'The load');
  const from = performance.now() + performance.timeOrigin;
  const before = readProcessors(bench, load, service);
  const memory = service && { rssStartMb: memoryOf(service.id).now };
  await lineLike(load, /^measured$/, 'The load');
  const to = performance.now() + performance.timeOrigin;
  const after = readProcessors(bench, load, service);
  const remembered = service && { ...memory, rssEndMb: memoryOf(service.id).now };
  const cores = Object.entries(after).map(([name, seconds]): [string, number] => [
    name,
    (seconds - (before[name] ?? 0)) / ((to - from) / 1000),
  ]);
  return { from, to, measured: { windowSeconds: (to - from) / 1000, ...Object.fromEntries(cores), ...remembered } };
}

function readProcessors(bench: Bench, load: Started, service: Started | null): Record<string, number> {
  const machine = machineSeconds();
  return {
    ...(service && {
      serviceMainThreadCores: mainThreadSeconds(service.id),
      serviceCores: processorSeconds(service.id),
    }),
    loadCores: processorSeconds(load.id),
    postgresCores: familySeconds(bench.cluster.postmasterId),
    machineBusyCores: machine.busy,
    machineStolenCores: machine.stolen,
  };
}
