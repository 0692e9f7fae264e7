// What a thread knows of the hosts of its database: which one took the last session that writes, and the newest timeline.
//
// A standby that is promoted begins a new timeline. So of two servers that both accept writes, the one on the older
// timeline is a former primary that was not fenced off, and what is written there is lost.
import { type Address, type HostAddress, nameOfHost } from './address.ts';

type Known = {
  /** The index of the host that the next connection tries first. */
  preferred: number;
  /** The newest timeline that any thread of the process has found; 0: none. */
  timeline: number;
  /** When the timelines of all hosts were looked at last, on the clock of performance.now(); null: never. */
  lookedAt: number | null;
};

type Discovery = { readonly key: string; readonly timeline: number };

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

/** The newest timeline of the database that the process has found; 0: none. */
export function newestTimeline(address: Address): number {
  return knownOf(address).timeline;
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

/** Reports the timeline of a server that accepts writes. All threads learn of a newer one. */
export function noteTimeline(address: Address, timeline: number): void {
  const entry = knownOf(address);
  if (timeline <= entry.timeline) return;
  entry.timeline = timeline;
  const sender = new BroadcastChannel(TIMELINES);
  const discovery: Discovery = { key: keyOf(address), timeline };
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel of this process has no origin
  sender.postMessage(discovery);
  sender.close();
}

/** Calls `leave` once, when a timeline newer than `timeline` is found. Returns a function that ends the watch. */
export function onNewerTimeline(address: Address, timeline: number, leave: (newest: number) => void): () => void {
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
  return entry;
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
    if (entry && discovery) entry.timeline = Math.max(entry.timeline, discovery.timeline);
  });
  channel.unref();
}

function parseDiscovery(event: unknown): Discovery | null {
  if (typeof event !== 'object' || event === null || !('data' in event)) return null;
  const { data } = event;
  if (typeof data !== 'object' || data === null || !('key' in data) || !('timeline' in data)) return null;
  return typeof data.key === 'string' && typeof data.timeline === 'number'
    ? { key: data.key, timeline: data.timeline }
    : null;
}
