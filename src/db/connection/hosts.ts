// The hosts of a URL, in libpq's form: several separated by commas, and what a session wants of the one that it gets.
// pg and its parser know one host only, so each host becomes a URL of its own.
import { SessionError } from './errors.ts';

/** The values of `target_session_attrs`. */
const TARGETS = ['any', 'read-write', 'primary', 'read-only', 'standby', 'prefer-standby'] as const;
export type Target = (typeof TARGETS)[number];

export type NamedHosts = {
  /** A URL for each host, in the order of the original. */
  readonly urls: readonly [string, ...string[]];
  readonly target: Target;
};

type Place = { readonly host: string; readonly port: string };

/** The scheme, the user with the password, the hosts, the path, and the parameters. A password may contain `@`. */
const PARTS = /^([^:/?#]*:\/\/)((?:[^/?#]*@)?)([^/?#@]*)([^?#]*)(?:\?([^#]*))?/;
/** A host and its port; an address of IPv6 is in brackets. */
const PLACE = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/;
const OWN = /^(host|port|target_session_attrs)=/;

/** Throws a SessionError that states the remedy. */
export function splitHosts(url: string): NamedHosts {
  const [, scheme = '', user = '', authority = '', path = '', search = ''] = PARTS.exec(url) ?? [];
  const parameters = search === '' ? [] : search.split('&');
  const own = new URLSearchParams(parameters.filter((parameter) => OWN.test(parameter)).join('&'));
  const target = parseTarget(own.get('target_session_attrs') ?? 'any');
  const inParameter = own.get('host');
  if (!authority.includes(',') && !inParameter?.includes(',')) return { urls: [url], target };
  const rest = parameters.filter((parameter) => !OWN.test(parameter));
  const [first, ...others] = placesOf(authority, inParameter, own.get('port')).map(({ host, port }) => {
    // A folder of sockets is a host as a parameter only.
    const isFolder = /^(\/|%2f)/i.test(host);
    const folder = isFolder ? [`host=${encodeURIComponent(decodeURIComponent(host))}`] : [];
    const search = [...folder, ...rest].join('&');
    return `${scheme}${user}${isFolder ? 'localhost' : host}${port && `:${port}`}${path}${search && `?${search}`}`;
  });
  return { urls: [first ?? url, ...others], target };
}

/** As in libpq, the parameters `host` and `port` outrank the hosts before the path, and one port is for all hosts. */
function placesOf(authority: string, hostList: string | null, portList: string | null): readonly Place[] {
  const named = authority.split(',').map((text): Place => {
    const [, host = '', port = ''] = PLACE.exec(text) ?? [];
    return { host, port };
  });
  const hosts = hostList === null ? named.map(({ host }) => host) : hostList.split(',').map(inBrackets);
  const ports = portList === null ? named.map(({ port }) => port) : portList.split(',');
  if (ports.length > 1 && ports.length !== hosts.length) {
    throw new SessionError(
      `The setting DATABASE_URL is wrong: it names ${hosts.length} hosts and ${ports.length} ports; give each host its port, or one port for all.`,
    );
  }
  return hosts.map((host, index) => ({
    host: host === '' ? 'localhost' : host,
    port: (ports.length === 1 ? ports[0] : ports[index]) ?? '',
  }));
}

/** An address of IPv6 has no brackets in the parameter `host`, and needs them before the path. */
function inBrackets(host: string): string {
  return host.includes(':') && !host.startsWith('[') && !host.startsWith('/') ? `[${host}]` : host;
}

function parseTarget(text: string): Target {
  const target = TARGETS.find((known) => known === text);
  if (target !== undefined) return target;
  throw new SessionError(
    `The setting DATABASE_URL is wrong: its target_session_attrs "${text}" is not one of ${TARGETS.join(', ')}.`,
  );
}

/** Whether a target excludes the server that accepts writes. */
export function isOfReaders(target: Target): boolean {
  return target === 'read-only' || target === 'standby';
}
