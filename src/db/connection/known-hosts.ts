// What a thread knows of the hosts of its database: which one took the last session that writes, and the newest timeline.
//
// A standby that is promoted begins a new timeline. So of two servers that both accept writes, the one on the older
// timeline is a former primary that was not fenced off, and what is written there is lost.
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads';
import type { Client } from 'pg';
import { type Address, type HostAddress, nameOfHost } from './address.ts';
import { SessionError } from './errors.ts';

type Known = {
  /** The index of the host that the next connection tries first. */
  preferred: number;
  /** The newest timeline that any thread of the process has found; 0: none. */
  timeline: number;
  /** When the timelines of all hosts were looked at last, on the clock of performance.now(); null: never. */
  lookedAt: number | null;
};

/** A primary on a newer timeline, and the index of its host. */
type Discovery = { readonly key: string; readonly timeline: number; readonly preferred: number };

/** The channel on which all threads of the process hear of a newer timeline. */
const TIMELINES = 'gopherpay timelines';

/** New sessions are frequent: idle ones of a pool end after 10 s. */
const LOOK_EVERY_MS = 10_000;

const known = new Map<string, Known>();
let channel: BroadcastChannel | undefined;

/** The hosts, the one that worked last first, and then in the order of the URL from there. */
export function hostsInTurn(address: Address): readonly HostAddress[] {
  const { preferred } = knownOf(address);
  return [...address.hosts.slice(preferred), ...address.hosts.slice(0, preferred)];
}

/** The host that took the last session that writes; before that, the first one. */
export function hostInUse(address: Address): HostAddress {
  return address.hosts[knownOf(address).preferred] ?? address.hosts[0];
}

/** Connections to the other hosts try this one first from now on. */
export function preferHost(address: Address, host: HostAddress): void {
  knownOf(address).preferred = Math.max(0, address.hosts.indexOf(host));
}

/** The next connection tries the host after this one, unless another one has worked meanwhile. */
export function avoidHost(address: Address, host: HostAddress): void {
  const entry = knownOf(address);
  if (address.hosts[entry.preferred] === host) entry.preferred = (entry.preferred + 1) % address.hosts.length;
}

/** Whether the timelines of all hosts should be looked at again, and the session must not begin before. Notes the look. */
export function dueLook(address: Address): 'none' | 'beside' | 'first' {
  const entry = knownOf(address);
  const now = performance.now();
  const { lookedAt } = entry;
  if (lookedAt !== null && now - lookedAt < LOOK_EVERY_MS) return 'none';
  entry.lookedAt = now;
  return lookedAt === null ? 'first' : 'beside';
}

/**
 * Reports the timeline of a server that accepts writes. All threads learn of a newer one, and prefer its host: the former
 * primary may be silent, and would cost each of them its share of the time to connect.
 */
export function noteTimeline(address: Address, host: HostAddress, timeline: number): void {
  const discovery = { key: keyOf(address), timeline, preferred: address.hosts.indexOf(host) };
  if (!learn(knownOf(address), discovery)) return;
  const sender = new BroadcastChannel(TIMELINES);
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel of this process has no origin
  sender.postMessage(discovery);
  sender.close();
}

/** Throws if a server is on an older timeline than one that was found before. */
export function refuseFormerPrimary(address: Address, timeline: number): void {
  const newest = knownOf(address).timeline;
  if (timeline < newest) throw new SessionError(formerPrimary(timeline, newest));
}

/** Refuses a former primary, and leaves the server when a newer timeline is found. */
export function leaveFormerPrimary(
  { connection: { stream } }: Client,
  { host, address, timeline }: { host: HostAddress; address: Address; timeline: number | null },
): void {
  if (timeline === null) return;
  refuseFormerPrimary(address, timeline);
  noteTimeline(address, host, timeline);
  const unwatch = onNewerTimeline(address, timeline, (newer) =>
    stream.destroy(new Error(formerPrimary(timeline, newer))),
  );
  stream.once('close', unwatch);
}

function formerPrimary(timeline: number, newest: number): string {
  return `The server is a former primary: it is on timeline ${timeline}, and another one on timeline ${newest}. Make it a standby of the other one`;
}

/** Calls `leave` once, when a timeline newer than `timeline` is found. Returns a function that ends the watch. */
function onNewerTimeline(address: Address, timeline: number, leave: (newest: number) => void): () => void {
  const own = new BroadcastChannel(TIMELINES);
  own.addEventListener('message', (event) => {
    const discovery = parseDiscovery(event);
    if (discovery?.key !== keyOf(address) || discovery.timeline <= timeline) return;
    own.close();
    leave(discovery.timeline);
  });
  own.unref();
  return () => own.close();
}

function knownOf(address: Address): Known {
  const key = keyOf(address);
  const found = known.get(key);
  if (found) return found;
  if (address.hosts.length > 1) listen();
  const entry = { preferred: 0, timeline: 0, lookedAt: null };
  known.set(key, entry);
  const inherited = parseDiscovery({ data: getEnvironmentData(inheritedKeyOf(key)) });
  if (inherited) learn(entry, inherited);
  return entry;
}

/** Returns whether it is new. A thread that starts later begins with what the one that starts it knows. */
function learn(entry: Known, { key, timeline, preferred }: Discovery): boolean {
  if (timeline <= entry.timeline) return false;
  Object.assign(entry, { timeline, preferred });
  setEnvironmentData(inheritedKeyOf(key), { key, timeline, preferred });
  return true;
}

function inheritedKeyOf(key: string): string {
  return `${TIMELINES} ${key}`;
}

/** Roles of one database share what is known. */
function keyOf({ hosts }: Address): string {
  return `${hosts.map(nameOfHost).join(',')}/${hosts[0].database}`;
}

function listen(): void {
  if (channel) return;
  channel = new BroadcastChannel(TIMELINES);
  channel.addEventListener('message', (event) => {
    const discovery = parseDiscovery(event);
    const entry = known.get(discovery?.key ?? '');
    if (entry && discovery) learn(entry, discovery);
  });
  channel.unref();
}

function parseDiscovery(event: unknown): Discovery | null {
  if (typeof event !== 'object' || event === null || !('data' in event)) return null;
  const { data } = event;
  if (typeof data !== 'object' || data === null) return null;
  if (!('key' in data) || !('timeline' in data) || !('preferred' in data)) return null;
  const { key, timeline, preferred } = data;
  return typeof key === 'string' && typeof timeline === 'number' && typeof preferred === 'number'
    ? { key, timeline, preferred }
    : null;
}
