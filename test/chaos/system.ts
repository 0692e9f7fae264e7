// The system under test: a database, the services on it, and the network between them.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { onEnd, type Scope } from '../support/cleanup.ts';
import { type AdminSettings, renderDatabaseUrl } from '../support/database.ts';
import { makeKey, revoke, type TestKey } from '../support/keys.ts';
import { makeFolder, type Service, startProgram, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { mountSmallDisk } from '../support/disk.ts';
import { findPostmaster, OWNER, type Postgres, RUNTIME, startPostgres } from '../support/postgres.ts';
import { type Replicated, startReplicated } from '../support/standby.ts';
import { Canceler } from '../support/canceler.ts';
import { Proxy } from '../support/proxy.ts';
import { preloadClock, type Clock } from './clock.ts';
import type { Revocation } from './keys.ts';

/** Room for a database and some load. */
const DISK_MIB = 512;

export type Shape = {
  /** How many services work on the database at the same time. */
  services: number;
  /** Whether the connection to the database is through a network that can be broken. */
  proxied?: boolean;
  /** Whether only the first service reaches the database through that network, and the others directly. */
  partitioned?: boolean;
  /** Whether single statements on the way to the database can be canceled. */
  cancelable?: boolean;
  /** Whether the database has a clock of its own, which can be set. */
  ownClock?: boolean;
  /** Whether the services keep their own database in a folder of theirs, which they share. */
  embedded?: boolean;
  /** Whether the database has a small disk of its own, which can be filled up. */
  ownDisk?: boolean;
  /** Whether the database has a synchronous standby, which can take over once. */
  replicated?: boolean;
  env?: Record<string, string>;
};

export class System {
  readonly #scope: Scope;
  readonly #shape: Shape;
  /** How each service reaches the database, by its place; without one, it keeps its own. */
  readonly #urlOf: (place: number) => string | null;
  readonly #running = new Map<number, Service>();
  readonly #starting = new Set<Promise<void>>();
  readonly #ending = new WeakSet<Service>();
  #keys: readonly TestKey[] = [];
  readonly #revocations = new Map<string, Revocation>();
  /** Observed violations, in sentences. The judge takes them. */
  readonly complaints: string[] = [];
  #admin: AdminSettings;
  #servers: Replicated | null = null;
  readonly postgres: Postgres | null;
  readonly proxy: Proxy | null;
  readonly #canceler: Canceler | null;
  readonly #clock: Clock | null;
  /** Where the services are started; an embedded database is in its `.gopherpay`. */
  readonly folder: string;
  /** Where the small disk is mounted, or nothing. */
  readonly diskFolder: string;

  /** Makes a database and starts the services on it, all at the same time. Everything ends with the scope. */
  static async open(scope: Scope, shared: Postgres, shape: Shape): Promise<System> {
    const folder = await makeFolder(scope);
    const diskFolder = shape.ownDisk ? await mountSmallDisk(scope, DISK_MIB) : '';
    const ownFolder = shape.ownDisk ? diskFolder : shape.ownClock ? folder : null;
    const postgres = ownFolder === null ? shared : await startPostgres(scope, join(ownFolder, 'data'));
    const clock = shape.ownClock ? await preloadClock(join(folder, 'data')) : null;
    if (shape.embedded) {
      const admin = {
        host: join(folder, '.gopherpay', 'socket'),
        port: 5432,
        user: 'postgres',
        database: 'gopherpay',
      };
      const system = new System(scope, shape, {
        folder,
        admin,
        diskFolder: '',
        postgres: null,
        proxy: null,
        canceler: null,
        clock: null,
        urlOf: () => null,
      });
      await system.#startAll();
      return system;
    }
    if (shape.replicated) {
      const servers = await startReplicated(scope, { synchronous: true });
      const { admin } = servers.primary;
      const parts = { folder, admin, diskFolder: '', postgres: null, proxy: null, canceler: null, clock: null };
      const system = new System(scope, shape, { ...parts, urlOf: () => servers.url });
      system.#servers = servers;
      await system.#startAll();
      return system;
    }
    const name = `chaos_${randomBytes(6).toString('hex')}`;
    await postgres.createDatabase(name);
    onEnd(scope, () => postgres.dropDatabase(name));
    const admin = { ...postgres.admin, database: name };
    const proxy = shape.proxied ? await Proxy.open(postgres.admin) : null;
    if (proxy) onEnd(scope, () => proxy.close());
    const canceler = shape.cancelable ? await Canceler.open(postgres.admin) : null;
    if (canceler) onEnd(scope, () => canceler.close());
    const between = proxy ?? canceler;
    const runtime = { ...admin, user: RUNTIME };
    const directUrl = renderDatabaseUrl(runtime);
    const indirectUrl = between ? renderDatabaseUrl({ ...runtime, host: '127.0.0.1', port: between.port }) : directUrl;
    const system = new System(scope, shape, {
      folder,
      diskFolder,
      admin,
      postgres,
      proxy,
      canceler,
      clock,
      urlOf: (place) => (shape.partitioned && place > 0 ? directUrl : indirectUrl),
    });
    await system.#startAll();
    return system;
  }

  private constructor(
    scope: Scope,
    shape: Shape,
    parts: Pick<System, 'folder' | 'diskFolder' | 'admin' | 'postgres' | 'proxy'> & {
      canceler: Canceler | null;
      clock: Clock | null;
      urlOf: (place: number) => string | null;
    },
  ) {
    this.#scope = scope;
    this.#shape = shape;
    this.#urlOf = parts.urlOf;
    this.#canceler = parts.canceler;
    this.#clock = parts.clock;
    this.folder = parts.folder;
    this.diskFolder = parts.diskFolder;
    this.#admin = parts.admin;
    this.postgres = parts.postgres;
    this.proxy = parts.proxy;
  }

  /** The superuser's way to the server that accepts writes. */
  get admin(): AdminSettings {
    return this.#admin;
  }

  /** Ends the primary as the end of its machine would, and lets the standby take over after a while. */
  async failOver(pauseMs: number): Promise<void> {
    if (!this.#servers) throw new Error('The database of this system has no standby.');
    const { primary, standby } = this.#servers;
    await primary.kill();
    await sleep(pauseMs);
    await standby.promote();
    this.#admin = standby.admin;
    await until(async () => (await this.query('select where not pg_is_in_recovery()')).length > 0, {
      what: 'the promotion',
    });
  }

  /** The keys that callers know, the oldest first. One of them may have been revoked a moment ago. */
  get keys(): readonly TestKey[] {
    return this.#keys;
  }

  /** All revocations, by the id of the key. */
  get revocations(): ReadonlyMap<string, Revocation> {
    return this.#revocations;
  }

  /** Makes a key with all scopes, and gives it to the callers when every service knows it. */
  async addKey(): Promise<void> {
    const key = await makeKey(this);
    for (const url of this.urls) {
      // Without any key, a service serves every caller of its own machine.
      await untilAnswered(url, {}, 401);
      await untilAnswered(url, key.headers, 200);
    }
    this.#keys = [...this.#keys, key];
  }

  /** Creates a ledger beside the main one. */
  async addLedger(name: string): Promise<void> {
    const [url = ''] = this.urls;
    const headers = { ...this.#keys[0]?.headers, 'content-type': 'application/json' };
    const answer = await fetch(new URL('/ledgers', url), { method: 'POST', headers, body: JSON.stringify({ name }) });
    await answer.arrayBuffer();
    if (answer.status !== 201) throw new Error(`The ledger ${name} could not be created: ${answer.status}.`);
  }

  /** Revokes the oldest key. The callers find out by themselves. */
  async revokeKey(): Promise<{ key: TestKey; by: number }> {
    const [key] = this.#keys;
    if (!key) throw new Error('There is no key.');
    const from = Date.now();
    // Before the statement, because a service may notice it before the statement is answered.
    this.#revocations.set(key.id, { from, by: Infinity });
    await revoke(this, key);
    const by = Date.now();
    this.#revocations.set(key.id, { from, by });
    return { key, by };
  }

  /** Takes the revoked keys from the callers. */
  forgetRevokedKeys(): void {
    this.#keys = this.#keys.filter(({ id }) => !this.#revocations.has(id));
  }

  get env(): Record<string, string> {
    // So small a queue that callers are refused at times: a 429 must be true, too.
    return { LOG_LEVEL: 'warn', MAX_QUEUE: '100', ...this.#shape.env };
  }

  /** The services that are presumed ready, by their place. */
  get services(): ReadonlyMap<number, Service> {
    return this.#running;
  }

  get urls(): string[] {
    return [...this.#running.values()].map(({ url }) => url);
  }

  /** The service at a place. */
  service(place: number): Service {
    const service = this.#running.get(place);
    if (!service) throw new Error(`No service runs at place ${place}.`);
    return service;
  }

  /** The PostgreSQL server of this system, where it is its own or the harness's. */
  get database(): Postgres {
    if (!this.postgres) throw new Error('This system keeps its own database.');
    return this.postgres;
  }

  get network(): Proxy {
    if (!this.proxy) throw new Error('This system has no network that could be broken.');
    return this.proxy;
  }

  get canceler(): Canceler {
    if (!this.#canceler) throw new Error('No statements of this system can be canceled.');
    return this.#canceler;
  }

  get clock(): Clock {
    if (!this.#clock) throw new Error('The database of this system has the clock of the machine.');
    return this.#clock;
  }

  /** Starts a service at a place, and waits until it is ready. */
  async start(place: number): Promise<Service> {
    const service = await startService(this.#scope, this.#options(place));
    this.#running.set(place, service);
    void this.#watch(place, service);
    return service;
  }

  /** Begins to start a service; `started` resolves when it is ready. */
  begin(place: number): void {
    const starting = this.#tryStart(place);
    this.#starting.add(starting);
    void starting.finally(() => this.#starting.delete(starting));
  }

  /** Resolves when everything that was begun is ready, or has failed. */
  async started(): Promise<void> {
    await Promise.all(this.#starting);
  }

  /** Marks a service as ending on purpose: it gets no more callers, and its end is no complaint. */
  expectEnd(place: number): Service {
    const service = this.service(place);
    this.#ending.add(service);
    this.#running.delete(place);
    return service;
  }

  /** Ends a service without warning. */
  async kill(place: number): Promise<void> {
    await this.expectEnd(place).kill();
  }

  /** Runs the command line beside the services, in their folder and on their database, to its end. */
  async run(args: string[], env: Record<string, string> = {}): ReturnType<typeof startProgram> {
    // Beside the services, so that it is not behind a network that is put in front of the first alone.
    const options = this.#options(this.#shape.services);
    return await startProgram(this.#scope, { ...options, args, env: { ...options.env, PORT: '0', ...env } });
  }

  /** Runs one statement as the superuser, on a connection of its own; waits for a database that is just starting. */
  async query(sql: string, parameters: unknown[] = []): Promise<Record<string, unknown>[]> {
    return await until(
      async () => {
        const client = new Client(this.admin);
        client.on('error', () => {});
        try {
          await client.connect();
        } catch (error) {
          await client.end().catch(() => {});
          if (error instanceof Error) return undefined;
          throw error;
        }
        try {
          return (await client.query<Record<string, unknown>>(sql, parameters)).rows;
        } finally {
          await client.end().catch(() => {});
        }
      },
      { timeoutMs: 30_000, what: 'the database to accept the superuser' },
    );
  }

  /** Locks the row of an account until the returned function is called. */
  async lock(accountNumber: string): Promise<() => Promise<void>> {
    const holder = new Client(this.admin);
    holder.on('error', () => {});
    await holder.connect();
    await holder.query('begin');
    await holder.query('select from accounts where account_number = $1::text for update', [accountNumber]);
    return async () => await holder.end();
  }

  /** The process id of the embedded database, or null if it does not run. */
  async findEmbedded(): Promise<number | null> {
    return await findPostmaster(join(this.folder, '.gopherpay'));
  }

  /** How many transfers are pending, and how many to another ledger have not ended. */
  async countPending(): Promise<number> {
    const [row] = await this.query(
      `select (select count(*) from pending_transfers)
         + (select count(*) from holds where state = 'open' and to_account like '@ledger:%') as count`,
    );
    return Number(row?.['count']);
  }

  async #watch(place: number, service: Service): Promise<void> {
    const { code, signal } = await service.exited;
    if (this.#running.get(place) === service) this.#running.delete(place);
    if (this.#ending.has(service)) return;
    const reported = service.output().slice(-500).trim();
    this.complaints.push(`A service ended by itself, with ${signal ?? `code ${code}`}: ${reported}`);
  }

  async #tryStart(place: number): Promise<void> {
    try {
      await this.start(place);
    } catch (error) {
      this.complaints.push(`A service did not start: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #options(place: number): { folder: string; database?: { url: string }; env: Record<string, string> } {
    const url = this.#urlOf(place);
    if (url === null) return { folder: this.folder, env: this.env };
    // The first service that starts creates the tables, and grants the role of the services its rights.
    const ownerUrl = url.replace(`//${RUNTIME}`, `//${OWNER}`);
    return { folder: this.folder, database: { url }, env: { ...this.env, DATABASE_OWNER_URL: ownerUrl } };
  }

  async #startAll(): Promise<void> {
    await Promise.all(Array.from({ length: this.#shape.services }, async (_, place) => await this.start(place)));
  }
}

async function untilAnswered(url: string, headers: Record<string, string>, expected: number): Promise<void> {
  const isAnswered = async (): Promise<boolean> => {
    const answer = await fetch(new URL('/accounts?limit=1', url), { headers });
    await answer.arrayBuffer();
    return answer.status === expected;
  };
  await until(isAnswered, { timeoutMs: 30_000, what: `an answer of ${expected} to a key` });
}
