// Starts the PostgreSQL server that tests run on: in a container where a Docker engine answers, from npm's binaries otherwise.
// Each server has a superuser for the tests, a plain role for the service, and a migrated template database to clone.
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PostgreSqlContainer } from '@testcontainers/postgresql';
import { Client } from 'pg';
import { getContainerRuntimeClient, ImageName } from 'testcontainers';
import { z } from 'zod';
import { openEmbeddedServer } from '../../src/db/embedded/server.ts';
import { migrate } from '../../src/db/ledger/migrate.ts';
import { startInstalled } from './installed.ts';
import { until } from './until.ts';

const address = z.strictObject({
  host: z.string(),
  port: z.int(),
  user: z.string(),
  password: z.string().exactOptional(),
  /** A container has an address of its own, but its network is on this machine, and its server has no TLS. */
  tls: z.strictObject({ mode: z.literal('disable') }).exactOptional(),
});

const serverAddress = z.strictObject({
  /** The server's version and home, for people. */
  description: z.string(),
  /** The superuser's way in. */
  admin: address,
  /** The ways in of the three roles of the books. None is a superuser; the first owns the databases. */
  owner: address,
  runtime: address,
  reader: address,
  /** The migrated, otherwise empty database to clone. */
  template: z.string(),
});

/** The address of a test server, in a form for another process. */
export type ServerAddress = z.infer<typeof serverAddress>;
export type RoleAddress = z.infer<typeof address>;

/** A server and the means to end it. */
export type TestServer = ServerAddress & {
  /** Kills one of the server's processes without warning: every connection breaks and the server recovers from its log. */
  crash: () => Promise<void>;
  stop: () => Promise<void>;
};

type RunningServer = Pick<ServerAddress, 'admin' | 'owner' | 'runtime' | 'reader'> & {
  home: string;
  kill: (pid: number) => Promise<void>;
  stop: () => Promise<void>;
};

export type ServerKind = 'container' | 'embedded' | 'installed' | 'either';

/** What `globalSetup` sets in the environment of every test file: the address of the server of this run. */
export const ADDRESS_VARIABLE = 'GOPHERPAY_TEST_SERVER';

const TEMPLATE = 'gopherpay_template';
const ROLES = { owner: 'gopherpay', runtime: 'gopherpay_service', reader: 'gopherpay_reader' };
/** A test may run several services side by side, each with ten threads and a pool for its reads. */
const CONNECTIONS_MAX = 500;

/** Parses the address that `globalSetup` left in the environment. */
export function parseServerAddress(text: string | undefined): ServerAddress {
  if (text === undefined) {
    throw new Error(
      `There is no test server: run the tests with npm test, or pass --test-global-setup=test/support/global-setup.ts to node --test.`,
    );
  }
  return serverAddress.parse(JSON.parse(text));
}

/** Parses TEST_DATABASE: which server the tests must run on. Empty or absent: a container if possible. */
export function parseServerKind(text: string | undefined): ServerKind {
  const kind = z
    .enum(['container', 'embedded', 'installed', 'either'])
    .safeParse(text === undefined || text === '' ? 'either' : text);
  if (!kind.success) {
    throw new Error(
      `TEST_DATABASE is "${text}": set it to container, embedded or installed, or leave it out for whichever works.`,
    );
  }
  return kind.data;
}

/**
 * Starts a server of the kind wanted and prepares its template. With 'either' it falls back to the embedded server, and
 * `tell` receives the reason in a sentence; with 'container' the error is thrown.
 */
export async function startServer(
  kind: ServerKind,
  image: string,
  tell: (sentence: string) => void = () => {},
): Promise<TestServer> {
  const running = await startEither(kind, image, tell);
  try {
    const version = await prepareTemplate(running);
    return {
      description: `PostgreSQL ${version} ${running.home}`,
      admin: running.admin,
      owner: running.owner,
      runtime: running.runtime,
      reader: running.reader,
      template: TEMPLATE,
      crash: () => crash(running),
      stop: () => running.stop(),
    };
  } catch (error) {
    await running.stop();
    throw error;
  }
}

async function startEither(kind: ServerKind, image: string, tell: (sentence: string) => void): Promise<RunningServer> {
  if (kind === 'embedded') return startEmbedded();
  if (kind === 'installed') return startStock();
  try {
    return await startContainer(image);
  } catch (cause) {
    if (kind === 'container') {
      throw new Error(
        `The tests must run on PostgreSQL in a container (TEST_DATABASE=container), and that failed: start Docker and make ` +
          `the image ${image} available (TEST_POSTGRES_IMAGE names another).`,
        { cause },
      );
    }
    tell(
      `PostgreSQL cannot be run in a container (${(cause instanceof Error ? cause.message : String(cause)).trim()}).`,
    );
    return startEmbedded();
  }
}

async function startContainer(image: string): Promise<RunningServer> {
  const docker = await getContainerRuntimeClient();
  await docker.image.pull(ImageName.fromString(image));
  // Testcontainers removes abandoned containers with a helper container. If its image is not available, only the
  // teardown stops ours.
  const helper = ImageName.fromString(process.env['RYUK_CONTAINER_IMAGE'] ?? 'testcontainers/ryuk:0.14.0');
  if (!(await docker.image.exists(helper))) process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';
  const container = await new PostgreSqlContainer(image)
    .withDatabase('postgres')
    .withUsername('postgres')
    .withPassword(randomUUID())
    .withCommand(['postgres', '-c', `max_connections=${CONNECTIONS_MAX}`])
    // Docker's 64 MB are too few for the hash tables of a parallel query.
    .withSharedMemorySize(512 * 1024 * 1024)
    .start();
  const tls = { mode: 'disable' } as const;
  const at = { host: container.getHost(), port: container.getPort(), tls };
  return {
    home: `in a container (image ${image})`,
    admin: { ...at, user: container.getUsername(), password: container.getPassword() },
    owner: { ...at, user: ROLES.owner, password: randomUUID() },
    runtime: { ...at, user: ROLES.runtime, password: randomUUID() },
    reader: { ...at, user: ROLES.reader, password: randomUUID() },
    kill: async (pid) => {
      await container.exec(['kill', '-9', String(pid)]);
    },
    stop: async () => {
      await container.stop();
    },
  };
}

async function startEmbedded(): Promise<RunningServer> {
  const folder = await mkdtemp(join(tmpdir(), 'gopherpay-test-'));
  const removeFolder = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const server = await openEmbeddedServer(join(folder, 'data'));
    const { host, port } = server.roles.owner;
    return {
      home: 'on this machine (embedded)',
      // The operating system authenticates clients of its socket: there are no passwords.
      ...waysIn({ host, port }),
      kill: async (pid) => {
        process.kill(pid, 'SIGKILL');
      },
      stop: async () => {
        await server.release();
        await removeFolder();
      },
    };
  } catch (error) {
    await removeFolder();
    throw error;
  }
}

function waysIn(at: { host: string; port: number }): Pick<RunningServer, 'admin' | 'owner' | 'runtime' | 'reader'> {
  return {
    admin: { ...at, user: 'postgres' },
    owner: { ...at, user: ROLES.owner },
    runtime: { ...at, user: ROLES.runtime },
    reader: { ...at, user: ROLES.reader },
  };
}

async function startStock(): Promise<RunningServer> {
  const { host, port, stop } = await startInstalled(CONNECTIONS_MAX);
  return {
    home: 'on this machine (installed, stock settings)',
    ...waysIn({ host, port }),
    kill: async (pid) => {
      process.kill(pid, 'SIGKILL');
    },
    stop,
  };
}

/** Makes the roles where they are missing, and the migrated template. Returns the server's version, such as 18.4. */
async function prepareTemplate({ admin, owner, runtime, reader }: RunningServer): Promise<string> {
  return withAdmin(admin, async (client) => {
    for (const role of [owner, runtime, reader]) {
      const known = await client.query('select from pg_roles where rolname = $1::text', [role.user]);
      if (known.rows.length > 0) continue;
      const [user, password] = [client.escapeIdentifier(role.user), client.escapeLiteral(role.password ?? '')];
      await client.query(`create role ${user} login password ${password}`);
    }
    await client.query(`create database ${TEMPLATE} owner ${client.escapeIdentifier(owner.user)}`);
    await migrate({ ...owner, database: TEMPLATE }, { roles: { runtime: runtime.user, reader: reader.user } });
    // A database with connections cannot be cloned.
    await client.query(`alter database ${TEMPLATE} with allow_connections false`);
    const version = await client.query<{ server_version: string }>('show server_version');
    return version.rows[0]?.server_version.split(' ')[0] ?? '';
  });
}

/** The process of the connection, and one that lives as long as the server works. */
const PROCESSES = `
  select pg_backend_pid() as own, pid as checkpointer
  from pg_stat_activity
  where backend_type = 'checkpointer'`;

async function crash(server: RunningServer): Promise<void> {
  const find = async (client: Client) => {
    const { rows } = await client.query<{ own: number; checkpointer: number }>(PROCESSES);
    return rows[0] ?? { own: 0, checkpointer: 0 };
  };
  const killed = await withAdmin(server.admin, async (client) => {
    const disconnected = new Promise<void>((resolve) => {
      client.once('end', resolve);
    });
    const found = await find(client);
    await server.kill(found.own);
    await disconnected;
    return found;
  });
  // For a moment, other connections still work: the server has not noticed yet.
  const hasNoticed = async (): Promise<boolean> => {
    const found = await withAdmin(server.admin, find).catch(() => null);
    return found?.checkpointer !== killed.checkpointer;
  };
  await until(hasNoticed, { what: 'the server to notice the crash' });
}

/** Runs `work` on a superuser's connection to the server's maintenance database. */
export async function withAdmin<Result>(
  admin: RoleAddress,
  work: (client: Client) => Promise<Result>,
): Promise<Result> {
  const client = new Client({ ...admin, database: 'postgres' });
  // Without a listener, a server that a test kills takes the test's process with it.
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}
