// Which targets webhooks may have. A caller chooses the URL, so it must not lead into the network of the service: names
// are resolved once for each connection, and the addresses that were checked are those that are connected to.
import type { LookupAddress } from 'node:dns';
import { lookup, Resolver } from 'node:dns/promises';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/** Longer URLs are no addresses of receivers. */
export const URL_LENGTH_MAX = 2048;
const DNS_TIMEOUT_MS = 3000;

const REFUSED_IPV4: readonly [string, number][] = [
  ['0.0.0.0', 8], // this network
  ['10.0.0.0', 8], // private
  ['100.64.0.0', 10], // shared by carriers; some clouds have metadata there
  ['127.0.0.0', 8], // loopback
  ['169.254.0.0', 16], // link-local; metadata of most clouds
  ['172.16.0.0', 12], // private
  ['192.0.0.0', 24], // protocol assignments; metadata of one cloud
  ['192.0.2.0', 24], // documentation
  ['192.88.99.0', 24], // relays of 6to4
  ['192.168.0.0', 16], // private
  ['198.18.0.0', 15], // benchmarks
  ['198.51.100.0', 24], // documentation
  ['203.0.113.0', 24], // documentation
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4], // reserved, and broadcast
  ['168.63.129.16', 32], // metadata of one cloud, in a public network
];

/** Within the addresses that are unicast at all. Those outside are refused: mapped, NAT64, local, multicast. */
const REFUSED_IPV6: readonly [string, number][] = [
  ['2001::', 23], // tunnels (Teredo) and protocol assignments
  ['2001:db8::', 32], // documentation
  ['2002::', 16], // 6to4, which contains an IPv4 address
  ['3fff::', 20], // documentation
];

const refused = new BlockList();
for (const [network, bits] of REFUSED_IPV4) refused.addSubnet(network, bits, 'ipv4');
for (const [network, bits] of REFUSED_IPV6) refused.addSubnet(network, bits, 'ipv6');
const unicast = new BlockList();
unicast.addSubnet('2000::', 3, 'ipv6');

/** Whether an IP address is one of the public Internet. */
export function isPublicAddress(address: string): boolean {
  const version = isIP(address);
  if (version === 4) return !refused.check(address, 'ipv4');
  return version === 6 && unicast.check(address, 'ipv6') && !refused.check(address, 'ipv6');
}

/** The targets of a service: public ones only, or any. */
export type TargetRules = {
  readonly allowPrivate: boolean;
  /** The addresses of a name. */
  readonly resolve: (name: string) => Promise<readonly LookupAddress[]>;
};

/**
 * Resolves names of the public Internet. The system's own look-up would take one of the few threads of the process, which
 * write the log as well: some slow name servers would hold all of them.
 */
export const resolvePublicName: TargetRules['resolve'] = async (name) => {
  const resolver = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: 2 });
  const [ipv4, ipv6] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  if (ipv4.status === 'rejected' && ipv6.status === 'rejected') throw ipv4.reason;
  return [ipv4, ipv6].flatMap((answer, index) =>
    answer.status === 'fulfilled' ? answer.value.map((address) => ({ address, family: index === 0 ? 4 : 6 })) : [],
  );
};

/** Resolves any name as the system does, such as localhost. */
export const resolveAnyName: TargetRules['resolve'] = async (name) => await lookup(name, { all: true });

/** The target may not be connected to. */
export class TargetRefusedError extends Error {}

/** Why a URL can be no target, as a message of validation; null: it can. Names are checked when they are resolved. */
export function complainOfUrl(text: string, { allowPrivate }: Pick<TargetRules, 'allowPrivate'>): string | null {
  const schemes = allowPrivate ? 'an https or http URL' : 'an https URL';
  if (text.length > URL_LENGTH_MAX) return `must have at most ${URL_LENGTH_MAX} characters`;
  const url = URL.parse(text);
  if (!url || !(url.protocol === 'https:' || (allowPrivate && url.protocol === 'http:'))) return `must be ${schemes}`;
  if (url.username !== '' || url.password !== '') return 'must not contain a user name or a password';
  if (url.hash !== '') return 'must not contain a fragment';
  if (!allowPrivate && !mayBePublic(url.hostname))
    return 'must not be an address of a private network, unless the operator sets WEBHOOK_TARGETS=any';
  return null;
}

/** Whether a host is a public address, or a name that may have one. A URL has numbers in other bases as an address. */
function mayBePublic(hostname: string): boolean {
  const host = hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
  if (isIP(host) !== 0) return isPublicAddress(host);
  return host !== 'localhost' && !host.endsWith('.localhost');
}

/** Throws if the host of a URL is an address that is refused: no name is looked up then. */
export function checkHost(url: string, rules: Pick<TargetRules, 'allowPrivate'>): void {
  const complaint = complainOfUrl(url, rules);
  if (complaint !== null) throw new TargetRefusedError(`The URL ${complaint}.`);
}

/** The addresses of a name. One refused address refuses the name: it is not known which one was meant. */
async function resolvePublic(
  name: string,
  { allowPrivate, resolve }: TargetRules,
): Promise<{ first: LookupAddress; every: LookupAddress[] }> {
  const every = [...(await resolve(name))];
  const [first] = every;
  if (!first) throw new Error(`${name} has no address`);
  if (!allowPrivate && every.some(({ address }) => !isPublicAddress(address))) {
    throw new TargetRefusedError('The name leads to a private network.');
  }
  return { first, every };
}

/** Looks up names for connections, which are made to the addresses that were checked. */
export function guardedLookup(rules: TargetRules): LookupFunction {
  return (name, { all }, answer) => {
    resolvePublic(name, rules).then(
      ({ first, every }) => (all === true ? answer(null, every, 0) : answer(null, first.address, first.family)),
      (error: unknown) => answer(error instanceof Error ? error : new Error(String(error)), '', 0),
    );
  };
}
