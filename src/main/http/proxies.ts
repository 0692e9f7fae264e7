// Which address a request comes from. A proxy that the operator trusts states it in X-Forwarded-For; from any other
// peer that header is ignored, because its sender chooses the text.
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import type { Duplex } from 'node:stream';

/** A request passes few proxies. The rest of a header is its sender's text. */
const PROXIES_MAX = 16;
/** An address with a port, as some proxies write it. */
const WITH_PORT = /^(?:\[([0-9a-f:.]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d{1,5})?$/i;

export class TrustedProxies {
  readonly #networks = new BlockList();
  /** Whether no proxy is trusted. */
  readonly isEmpty: boolean;
  /** Whether the peer of each connection is trusted. */
  readonly #peers = new WeakMap<Duplex, boolean>();

  /** `networks`: addresses, and networks such as 10.0.0.0/8. */
  constructor(networks: readonly string[]) {
    this.isEmpty = networks.length === 0;
    for (const network of networks) {
      const [address = '', prefix] = network.split('/');
      const family = familyOf(address);
      if (prefix === undefined) this.#networks.addAddress(address, family);
      else this.#networks.addSubnet(address, Number(prefix), family);
    }
  }

  /** Whether the operator trusts the proxy at an address. */
  trusts(address: string | undefined): boolean {
    return !this.isEmpty && address !== undefined && this.#networks.check(address, familyOf(address));
  }

  /**
   * The address of the caller: that of the peer, unless it is a trusted proxy. Then the last one in `X-Forwarded-For` that
   * is not a trusted proxy either: proxies append, so all before it is the caller's own text.
   */
  addressOf({ socket, headers }: IncomingMessage): string | undefined {
    const peer = socket.remoteAddress;
    if (this.isEmpty) return peer;
    let trusted = this.#peers.get(socket);
    if (trusted === undefined) this.#peers.set(socket, (trusted = this.trusts(peer)));
    if (!trusted) return peer;
    return this.#forwardedFor(headers['x-forwarded-for']) ?? peer;
  }

  /** Null if the header is missing or malformed. If all addresses are trusted, the first. */
  #forwardedFor(header: string | string[] | undefined): string | null {
    const text = Array.isArray(header) ? header.join(',') : (header ?? '');
    let found: string | null = null;
    let end = text.length;
    for (let count = 0; count < PROXIES_MAX && end >= 0; count += 1) {
      const comma = text.lastIndexOf(',', end - 1);
      found = parseAddress(text.slice(comma + 1, end).trim());
      if (found === null || !this.trusts(found)) return found;
      end = comma;
      if (comma <= 0) return found;
    }
    return null;
  }
}

function parseAddress(text: string): string | null {
  if (isIP(text) !== 0) return text;
  const [, version6, version4] = WITH_PORT.exec(text) ?? [];
  const address = version6 ?? version4 ?? '';
  return isIP(address) === 0 ? null : address;
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 4 ? 'ipv4' : 'ipv6';
}
