// Loaded into a service before its own code (node --import). Shifts its clock and blocks its event loop when a file in its folder
// requests it. A signal would reach the main thread alone, but every thread reads the clock.
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { CONTROL_FILE, parseInjection } from './fault-control.ts';

const POLL_MS = 30;

const TrueDate = Date;
let offsetMs = 0;
let number = 0;

globalThis.Date = new Proxy(TrueDate, {
  construct: (target, values, newTarget): Date =>
    Reflect.construct(target, values.length === 0 ? [TrueDate.now() + offsetMs] : values, newTarget),
  apply: () => new TrueDate(TrueDate.now() + offsetMs).toString(),
  get: (target, name): unknown => (name === 'now' ? () => TrueDate.now() + offsetMs : Reflect.get(target, name)),
});

function readControlFile(): string {
  try {
    return readFileSync(CONTROL_FILE, 'utf8');
  } catch {
    return '';
  }
}

function look(): void {
  const injection = parseInjection(readControlFile());
  if (injection === null || injection.number === number) return;
  number = injection.number;
  offsetMs = injection.offsetMs;
  if (!isMainThread) return;
  const until = performance.now() + injection.blockMs;
  while (performance.now() < until);
}

setInterval(look, POLL_MS).unref();
