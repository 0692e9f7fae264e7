// Loaded into a service before its own code (node --import): its clock jumps and its event loop stands still when a file in its folder
// says so. A signal would reach the main thread alone, and the clock is every thread's.
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { CONTROL_FILE, parseOrders } from './possession.ts';

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
  const orders = parseOrders(readControlFile());
  if (orders === null || orders.number === number) return;
  number = orders.number;
  offsetMs = orders.offsetMs;
  if (!isMainThread) return;
  const until = performance.now() + orders.blockMs;
  while (performance.now() < until);
}

setInterval(look, POLL_MS).unref();
