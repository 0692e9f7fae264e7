// The host names by which callers may address the service. An attacker can point the name of another site to this
// machine (DNS rebinding). Requests of its pages are then same-origin for the browser, but they carry that name, so
// only allowed names are served.
import { isIPv4 } from 'node:net';

/** The host and port of `Host`, `Origin` or an absolute-form target; the host in lower case. */
export type Authority = { readonly host: string; readonly port: string };

const AUTHORITY = /^(\[[0-9a-f:.]+\]|[a-z0-9._~!$&'()*+,;=%-]*)(?::(\d{0,5}))?$/i;

/** Whether only this machine can connect to a server that listens at `host`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

/** Parses `host`, `host:port` or nothing. Returns null for any other text. */
export function parseAuthority(text: string): Authority | null {
  const match = AUTHORITY.exec(text);
  if (!match) return null;
  const [, host = '', port = ''] = match;
  return { host: host.toLowerCase().replace(/\.$/, ''), port };
}

export class AllowedHosts {
  readonly #named: ReadonlySet<string>;
  readonly #listening: string;

  /** `listening` is the setting HOST, `named` the setting ALLOWED_HOSTS. */
  constructor(listening: string, named: readonly string[]) {
    this.#listening = listening.toLowerCase();
    this.#named = new Set(named);
  }

  /**
   * Whether a request may name this host. An address cannot be rebound, because its page comes from that address
   * itself. Neither can a single label such as `localhost` or `gopherpay`, or a name under `.localhost` (RFC 6761): an
   * attacker cannot register one.
   */
  allows(host: string): boolean {
    if (!host.includes('.') || host.startsWith('[') || isIPv4(host)) return true;
    return host.endsWith('.localhost') || host === this.#listening || this.names(host);
  }

  /** Whether the operator named this host. */
  names(host: string): boolean {
    return this.#named.has(host);
  }
}
