// Runs once before all test files and once after them: node --test --test-global-setup=test/support/global-setup.ts
// TEST_DATABASE=container, embedded or installed selects where PostgreSQL runs; TEST_POSTGRES_IMAGE names the container's image.
// oxlint-disable-next-line import/no-unassigned-import -- it ends the process on an older Node
import '../../src/cli/require-node.js';
import { ADDRESS_VARIABLE, parseServerKind, startServer, type TestServer } from './server.ts';

let server: TestServer | undefined;

/** Starts the server of this run and leaves its address in the environment, which every test file's process inherits. */
export async function globalSetup(): Promise<void> {
  server = await startServer(
    parseServerKind(process.env['TEST_DATABASE']),
    process.env['TEST_POSTGRES_IMAGE'] ?? 'postgres:18',
    (sentence) => process.stdout.write(`${sentence}\n`),
  );
  const { description, admin, owner, runtime, reader, template } = server;
  process.env[ADDRESS_VARIABLE] = JSON.stringify({ description, admin, owner, runtime, reader, template });
  process.stdout.write(`tests run on ${description}\n`);
}

/** Stops the server. */
export async function globalTeardown(): Promise<void> {
  await server?.stop();
}
