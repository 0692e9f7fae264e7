// The processes of a turn: starts them, reads their output, ends them, and measures them from /proc. None of them
// outlives the benchmark.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Measured } from './subject.ts';

/** Linux counts processor time in hundredths of a second, independent of its clock. */
const TICKS_PER_SECOND = 100;
/** The names of the threads that Node starts for itself. */
const NODE_HELPER = /V8Worker|DelayedTask|libuv|SignalInspector/;
const SAMPLE_INTERVAL_MS = 200;
const STOP_TIMEOUT_MS = 90_000;

export type Started = { readonly child: ChildProcess; readonly id: number; readonly lines: AsyncIterator<string> };
type Options = { cwd: string; env?: NodeJS.ProcessEnv; stderr?: 'inherit' | 'ignore' | number; detached?: boolean };

const running = new Map<ChildProcess, { group: boolean }>();
let ending = false;

/** Starts a program whose standard output is read line by line. `detached`: it leads a group that ends with it. */
export function start(program: string, options: readonly string[], { cwd, env, stderr, detached }: Options): Started {
  if (ending) throw new Error('The benchmark is ending.');
  const child = spawn(program, options, {
    cwd,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', stderr ?? 'inherit'],
    detached: detached ?? false,
  });
  running.set(child, { group: detached ?? false });
  child.once('close', () => running.delete(child));
  child.once('error', () => running.delete(child));
  if (child.stdout === null || child.pid === undefined) throw new Error(`${program} could not be started.`);
  return { child, id: child.pid, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

/** The next line of a process. Throws if it ended instead. */
export async function nextLine({ child, lines }: Started, what: string): Promise<string> {
  const { value, done } = await lines.next();
  if (done) throw new Error(`${what} ended early (${child.signalCode ?? child.exitCode ?? 'still going'}).`);
  return value;
}

/** The line that matches, and what it captures. Lines before it are passed over. */
export async function lineLike(started: Started, pattern: RegExp, what: string): Promise<string> {
  for (;;) {
    const match = pattern.exec(await nextLine(started, what));
    if (match) return match[1] ?? match[0];
  }
}

/** Runs a program to its end and returns what it wrote to standard output. Throws if it fails. */
export async function runToEnd(program: string, options: readonly string[], settings: Options): Promise<string> {
  return await outputOf(start(program, options, settings));
}

/** Waits for the end of a program and returns the lines that it still wrote. Throws if it fails. */
export async function outputOf(started: Started): Promise<string> {
  const lines: string[] = [];
  const closed = ended(started);
  for (let next = await started.lines.next(); !next.done; next = await started.lines.next()) lines.push(next.value);
  const code = await closed;
  if (code === 0) return lines.join('\n');
  throw new Error(`${started.child.spawnargs.join(' ')} ended with ${code}: ${lines.slice(-5).join(' | ')}`);
}

/** Waits until a process has ended, and returns how. */
export async function ended({ child }: Started): Promise<number | string> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
  return child.exitCode ?? child.signalCode ?? 'nothing';
}

/** Asks a process to end, and waits until it has. */
export async function stop(started: Started): Promise<void> {
  const closed = ended(started);
  started.child.kill('SIGTERM');
  const timer = setTimeout(() => started.child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await closed;
  clearTimeout(timer);
}

/** Kills every running process, and prevents further starts. */
export function endAll(): void {
  ending = true;
  for (const child of running.keys()) kill(child);
}

/** Kills a process that should have ended by itself, if it has not. */
export function killIfRunning({ child }: Started): void {
  if (running.has(child)) kill(child);
}

function kill(child: ChildProcess): void {
  if (child.pid !== undefined && running.get(child)?.group) process.kill(-child.pid, 'SIGKILL');
  else child.kill('SIGKILL');
}

/** Processor seconds that a process, all its threads together, has used. */
export function processorSeconds(id: number): number {
  const fields = statOf(`/proc/${id}/stat`);
  return fields ? (fields.user + fields.system) / TICKS_PER_SECOND : 0;
}

/**
 * Processor seconds of the threads of a Node process that run JavaScript: the first one, and the worker threads. The others of the
 * process collect garbage, compile, and wait for files.
 */
export function threadSeconds(id: number): { main: number; workers: number } {
  const seconds = { main: 0, workers: 0 };
  for (const thread of tasksOf(id)) {
    const stat = statOf(`/proc/${id}/task/${thread}/stat`);
    if (stat === null || NODE_HELPER.test(stat.name)) continue;
    seconds[thread === String(id) ? 'main' : 'workers'] += (stat.user + stat.system) / TICKS_PER_SECOND;
  }
  return seconds;
}

function tasksOf(id: number): string[] {
  try {
    return readdirSync(`/proc/${id}/task`);
  } catch {
    // The process has just ended.
    return [];
  }
}

/** Processor seconds of a process and of all children that it has or had. */
export function familySeconds(id: number): number {
  for (;;) {
    const own = statOf(`/proc/${id}/stat`);
    if (!own) return 0;
    let ticks = own.user + own.system + own.endedChildren;
    for (const entry of readdirSync('/proc')) {
      const fields = /^\d+$/.test(entry) ? statOf(`/proc/${entry}/stat`) : null;
      if (fields?.parent === id) ticks += fields.user + fields.system + fields.endedChildren;
    }
    // A child that ended in the meantime is counted twice or not at all.
    if (statOf(`/proc/${id}/stat`)?.endedChildren === own.endedChildren) return ticks / TICKS_PER_SECOND;
  }
}

/**
 * Seconds that the threads of a process ran, and that they were ready to run and waited for a processor. Linux has both
 * in /proc/PID/task/TID/schedstat, in nanoseconds.
 */
export function schedulingSeconds(id: number): { ran: number; waited: number } {
  const seconds = { ran: 0, waited: 0 };
  for (const thread of tasksOf(id)) {
    const [ran = 0, waited = 0] = textOf(`/proc/${id}/task/${thread}/schedstat`).split(' ').map(Number);
    seconds.ran += ran / 1e9;
    seconds.waited += waited / 1e9;
  }
  return seconds;
}

/** Seconds, summed over all cores, that the machine was busy, and that another machine on the same host took from it. */
export function machineSeconds(): { busy: number; stolen: number } {
  const [, ...ticks] = readFileSync('/proc/stat', 'utf8').split('\n')[0]?.trim().split(/\s+/) ?? [];
  const [user = 0, nice = 0, system = 0, , , interrupt = 0, softInterrupt = 0, stolen = 0] = ticks.map(Number);
  const busy = user + nice + system + interrupt + softInterrupt;
  return { busy: busy / TICKS_PER_SECOND, stolen: stolen / TICKS_PER_SECOND };
}

/** Memory of a process in megabytes: what it has now, and the most it ever had. */
export function memoryOf(id: number): { now: number; peak: number } {
  try {
    const status = readFileSync(`/proc/${id}/status`, 'utf8');
    const megabytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024;
    return { now: megabytes('VmRSS'), peak: megabytes('VmHWM') };
  } catch {
    return { now: 0, peak: 0 };
  }
}

/** Samples the memory of a process until it is stopped, or gone. */
export function watchMemory(id: number): { end(): Measured } {
  let { now: max, peak } = memoryOf(id);
  const timer = setInterval(() => {
    const memory = memoryOf(id);
    max = Math.max(max, memory.now);
    peak = Math.max(peak, memory.peak);
  }, SAMPLE_INTERVAL_MS);
  return {
    end() {
      clearInterval(timer);
      return { rssMaxMb: max, rssPeakMb: Math.max(peak, memoryOf(id).peak) };
    },
  };
}

/** What the benchmark uses of a line of /proc/<pid>/stat; times in ticks. */
type Stat = { name: string; parent: number; user: number; system: number; endedChildren: number };

export function parseStat(line: string): Stat {
  // The name of the program stands in parentheses and may hold spaces and parentheses.
  const end = line.lastIndexOf(')');
  const name = line.slice(line.indexOf('(') + 1, end);
  const fields = line.slice(end + 2).split(' ');
  const at = (index: number) => Number(fields[index] ?? 0);
  return { name, parent: at(1), user: at(11), system: at(12), endedChildren: at(13) + at(14) };
}

/** Empty if the process has just ended. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function statOf(path: string): Stat | null {
  try {
    return parseStat(readFileSync(path, 'utf8'));
  } catch {
    // The process has just ended.
    return null;
  }
}
