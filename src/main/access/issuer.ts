// The public keys of an OIDC issuer: found by discovery, fetched when they are needed, and kept for a while.
import { createLocalJWKSet, errors, type JWTVerifyGetKey } from 'jose';
import { request } from 'undici';
import { z } from 'zod';
import { TokenError } from './token-error.ts';

/** How long fetched keys are used without asking again. A key that the issuer removes is trusted for no longer. */
const FRESH_MS = 10 * 60_000;
/**
 * How long they are used while the issuer does not answer. Most tokens that were issued before an outage expire within
 * an hour, so a longer time would help few callers, and keep a stolen key for longer.
 */
const STALE_MS = 60 * 60_000;
/** How long a key that is not found is not looked for again, so that invented tokens do not become requests. */
const ASK_AGAIN_MS = 30_000;
/** The pause after a request that failed. */
const RETRY_MS = 5000;
/** For discovery and keys together. */
const FETCH_TIMEOUT_MS = 5000;
const BODY_BYTES_MAX = 1024 * 1024;
/** The look-up of a key reads all of them. */
const KEYS_MAX = 100;

const Discovery = z.object({ issuer: z.string(), jwks_uri: z.url() });
const KeySet = z.object({ keys: z.array(z.record(z.string(), z.unknown())).max(KEYS_MAX) });

type Keys = { readonly find: JWTVerifyGetKey; readonly fetchedMs: number };

export class IssuerKeys {
  readonly #issuer: string;
  readonly #nowMs: () => number;
  readonly #fetchTimeoutMs: number;
  #keys: Keys | null = null;
  #fetching: Promise<void> | null = null;
  /** The last attempt to fetch. */
  #attempt: { readonly endedMs: number; readonly failure: unknown } = { endedMs: -Infinity, failure: null };

  /** `nowMs` is a monotonic clock. */
  constructor(issuer: string, nowMs: () => number, fetchTimeoutMs = FETCH_TIMEOUT_MS) {
    this.#issuer = issuer;
    this.#nowMs = nowMs;
    this.#fetchTimeoutMs = fetchTimeoutMs;
  }

  /**
   * The key that a header names. Only `alg` and `kid` are passed on: keys and addresses in a header count for nothing.
   * A token without `kid` is accepted if exactly one key fits its algorithm.
   */
  async find({ alg, kid }: { alg: string; kid?: string | undefined }): Promise<CryptoKey> {
    if (this.#ageMs() >= FRESH_MS) await this.#fetchAgain(0);
    const header = kid === undefined ? { alg } : { alg, kid };
    const key = (await this.#look(header)) ?? ((await this.#fetchAgain(ASK_AGAIN_MS)) && (await this.#look(header)));
    if (key) return key;
    if (this.#attempt.failure !== null) throw this.#unavailable();
    throw new TokenError('not_trusted', 'The issuer has no key for this token.');
  }

  #ageMs(): number {
    return this.#keys === null ? Infinity : this.#nowMs() - this.#keys.fetchedMs;
  }

  async #look(header: { alg: string; kid?: string }): Promise<CryptoKey | null> {
    if (this.#keys === null || this.#ageMs() >= STALE_MS) throw this.#unavailable();
    try {
      const key = await this.#keys.find(header, { payload: '', signature: '' });
      if (key instanceof CryptoKey) return key;
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return null;
      throw new TokenError('not_trusted', 'The key of this token cannot be used.', { cause: error });
    }
    throw new TokenError('not_trusted', 'The key of this token cannot be used.');
  }

  /**
   * Fetches the keys, or joins a fetch that runs. Returns false without a request if the last one is too recent. A
   * failure is kept: the callers decide whether older keys do.
   */
  async #fetchAgain(pauseMs: number): Promise<boolean> {
    if (this.#fetching === null) {
      const pause = this.#attempt.failure === null ? pauseMs : RETRY_MS;
      if (this.#nowMs() - this.#attempt.endedMs < pause) return false;
      this.#fetching = this.#fetch();
    }
    await this.#fetching;
    return this.#attempt.failure === null;
  }

  async #fetch(): Promise<void> {
    let failure: unknown = null;
    try {
      const signal = AbortSignal.timeout(this.#fetchTimeoutMs);
      const address = `${this.#issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
      const discovery = Discovery.parse(await fetchJson(address, signal));
      if (discovery.issuer !== this.#issuer) throw new Error('the discovery document is that of another issuer');
      if (!isAllowedAddress(discovery.jwks_uri, this.#issuer)) throw new Error('the address of the keys is not https');
      const { keys } = KeySet.parse(await fetchJson(discovery.jwks_uri, signal));
      this.#keys = { find: createLocalJWKSet({ keys }), fetchedMs: this.#nowMs() };
    } catch (error) {
      failure = error;
    }
    this.#attempt = { endedMs: this.#nowMs(), failure };
    this.#fetching = null;
  }

  #unavailable(): TokenError {
    return new TokenError('issuer_unavailable', "The issuer's keys cannot be read.", { cause: this.#attempt.failure });
  }
}

/** Keys are read over https, unless the issuer itself is an http server of this machine. */
function isAllowedAddress(address: string, issuer: string): boolean {
  const { protocol, hostname } = new URL(address);
  if (protocol === 'https:') return true;
  const isLoopback = hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname);
  return protocol === 'http:' && isLoopback && issuer.startsWith('http://');
}

/** Follows no redirect, and keeps no connection. */
async function fetchJson(address: string, signal: AbortSignal): Promise<unknown> {
  const { statusCode, body } = await request(address, {
    signal,
    reset: true,
    headers: { accept: 'application/json' },
  });
  // The loop destroys the body however it ends.
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    if (statusCode !== 200) throw new Error(`${address} answered ${statusCode}`);
    if (!Buffer.isBuffer(chunk)) throw new TypeError('a chunk of a body is no buffer');
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Error(`${address} answered more than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  if (statusCode !== 200) throw new Error(`${address} answered ${statusCode}`);
  return JSON.parse(Buffer.concat(chunks).toString());
}
