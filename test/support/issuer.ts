// An OIDC issuer on this machine: it serves discovery and keys, and signs any token.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';

const DISCOVERY_PATH = '/.well-known/openid-configuration';
const KEYS_PATH = '/keys';

type Respond = (request: IncomingMessage, response: ServerResponse) => void;

type Key = { readonly alg: string; readonly privateKey: CryptoKey; readonly jwk: JWK };

export class Issuer {
  url = '';
  /** What is served at the address of the keys. */
  published: JWK[] = [];
  /** Extra members of the discovery document. */
  discovery: Record<string, unknown> = {};
  /** Answers in place of the issuer. */
  respond: { discovery?: Respond; keys?: Respond } = {};
  readonly requests: string[] = [];
  readonly #keys = new Map<string, Key>();
  readonly #server = createServer((request, response) => this.#answer(request, response));

  /** Starts an issuer with one key of each algorithm, whose id is the name of the algorithm. */
  static async start(t: TestContext, algorithms: readonly string[] = ['ES256']): Promise<Issuer> {
    const issuer = new Issuer();
    for (const alg of algorithms) await issuer.addKey(alg, alg);
    await issuer.listen(t);
    return issuer;
  }

  async listen(t: TestContext, port = 0): Promise<void> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('The issuer has no port.');
    this.url = `http://127.0.0.1:${address.port}`;
    t.after(async () => await this.stop());
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** Makes a key and publishes it. */
  async addKey(kid: string, alg = 'ES256'): Promise<Key> {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const key = { alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
    this.#keys.set(kid, key);
    this.published.push(key.jwk);
    return key;
  }

  /** Claims that are in order, for an hour from `nowSeconds`. */
  claims(nowSeconds = Math.floor(Date.now() / 1000)): JWTPayload {
    return {
      iss: this.url,
      aud: 'pay',
      sub: 'billing',
      exp: nowSeconds + 3600,
      scope: 'transfers:read',
      gopherpay_ledger: 'acme',
    };
  }

  /** Signs with a key. Undefined takes a claim or a member of the header away. */
  async sign(
    claims: Record<string, unknown> = {},
    { kid = 'ES256', header = {} }: { kid?: string; header?: Record<string, unknown> } = {},
  ): Promise<string> {
    const key = this.#keys.get(kid);
    if (key === undefined) throw new Error(`There is no key ${kid}.`);
    return await new SignJWT({ ...this.claims(), ...claims })
      .setProtectedHeader({ alg: key.alg, kid, typ: 'JWT', ...header })
      .sign(key.privateKey);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '';
    this.requests.push(path);
    const isKeys = path === KEYS_PATH;
    const instead = isKeys ? this.respond.keys : this.respond.discovery;
    if (instead !== undefined) return instead(request, response);
    if (!isKeys && path !== DISCOVERY_PATH) response.writeHead(404).end();
    else response.end(JSON.stringify(isKeys ? { keys: this.published } : this.#document()));
  }

  #document(): Record<string, unknown> {
    return { issuer: this.url, jwks_uri: `${this.url}${KEYS_PATH}`, ...this.discovery };
  }
}
