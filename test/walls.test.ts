// Goal: lint refuses each import that would join what must stay apart. Method: a breach of each wall, planted in a copy of the tree's
// shape, is linted with the project's own rules.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { makeFolder } from './support/service.ts';

const ROOT = dirname(import.meta.dirname);

const BREACHES = [
  { file: 'src/domain/decide.ts', imports: 'node:crypto' },
  { file: 'src/domain/decide.ts', imports: '../db/connection/errors.ts' },
  { file: 'src/db/connection/connect.ts', imports: '../../domain/ledger.ts' },
  { file: 'src/db/queries/transfers.ts', imports: '../ledger/settlement.ts' },
  { file: 'src/db/ledger/settlement.ts', imports: '../audit/chain.ts' },
  { file: 'src/db/audit/chain.ts', imports: '../ledger/settlement.ts' },
  { file: 'src/db/audit/chain.ts', imports: '../../domain/record.ts' },
  { file: 'src/books/record.ts', imports: '../domain/record.ts' },
  { file: 'src/books/verify.ts', imports: '../db/audit/chain.ts' },
  { file: 'src/books/verify.ts', imports: 'zod' },
  { file: 'src/db/audit/chain.ts', imports: '../../books/record.ts' },
  { file: 'src/main/engine/engine.ts', imports: '../../books/verify.ts' },
  { file: 'src/db/embedded/server.ts', imports: '../queries/transfers.ts' },
  { file: 'src/db/backup/dump.ts', imports: '../audit/heads.ts' },
  { file: 'src/db/backup/load.ts', imports: '../../domain/ledger.ts' },
  { file: 'src/db/doctor/server.ts', imports: '../queries/books.ts' },
  { file: 'src/threads/settle.ts', imports: '../main/engine/unit.ts' },
  { file: 'src/render/csv.ts', imports: '../main/http/send.ts' },
  { file: 'src/main/engine/engine.ts', imports: '../http/server.ts' },
  { file: 'src/main/engine/engine.ts', imports: '../api/route.ts' },
  { file: 'src/main/engine/engine.ts', imports: 'node:http' },
  { file: 'src/main/http/server.ts', imports: '../engine/engine.ts' },
  { file: 'src/main/http/server.ts', imports: '../api/route.ts' },
  { file: 'src/main/http/server.ts', imports: '../../domain/money.ts' },
  { file: 'src/main/http/server.ts', imports: '../access/jwt.ts' },
  { file: 'src/main/engine/engine.ts', imports: '../access/rates.ts' },
  { file: 'src/main/access/rates.ts', imports: '../http/problem.ts' },
  { file: 'src/main/access/jwt.ts', imports: 'undici' },
  { file: 'src/main/webhooks/sender.ts', imports: '../api/route.ts' },
  { file: 'src/main/webhooks/sender.ts', imports: '../engine/engine.ts' },
  { file: 'src/main/engine/engine.ts', imports: '../webhooks/sender.ts' },
  { file: 'src/main/http/server.ts', imports: '../webhooks/sender.ts' },
  { file: 'src/main/http/server.ts', imports: '../tracing/start.ts' },
  { file: 'src/main/http/server.ts', imports: '@opentelemetry/api' },
  { file: 'src/main/engine/engine.ts', imports: '../tracing/spans.ts' },
  { file: 'src/main/engine/engine.ts', imports: '@opentelemetry/sdk-trace' },
  { file: 'src/main/service.ts', imports: '@opentelemetry/api' },
  { file: 'src/main/tracing/spans.ts', imports: '../engine/unit.ts' },
  { file: 'src/main/tracing/export.ts', imports: 'undici' },
  { file: 'src/threads/settle.ts', imports: '@opentelemetry/api' },
  { file: 'src/main/api/route.ts', imports: 'jose' },
  { file: 'src/main/api/route.ts', imports: '../../cli/command.ts' },
  { file: 'src/main/api/routes/accounts.ts', imports: 'pino' },
  { file: 'src/main/api/routes/accounts.ts', imports: 'pg' },
  { file: 'src/main/api/routes/accounts.ts', imports: 'prom-client' },
  { file: 'src/main/service.ts', imports: 'close-with-grace' },
  { file: 'src/main/service.ts', imports: 'piscina' },
  { file: 'src/console/app.ts', imports: '../domain/money.ts' },
  { file: 'src/console/app.ts', imports: '../main/http/send.ts' },
  { file: 'src/console/pages/overview.ts', imports: '../../domain/money.ts' },
  { file: 'src/console/app.ts', imports: 'zod' },
  { file: 'src/console/app.ts', imports: 'node:crypto' },
  { file: 'src/main/console/assets.ts', imports: '../../console/format.ts' },
  { file: 'src/main/console/assets.ts', imports: '../api/route.ts' },
  { file: 'src/main/console/assets.ts', imports: '../../domain/currency.ts' },
  { file: 'src/main/console/assets.ts', imports: 'preact' },
  { file: 'src/main/service.ts', imports: '../console/format.ts' },
  { file: 'src/main/api/route.ts', imports: 'htm/preact' },
  { file: 'src/load/caller.ts', imports: 'uplot' },
  { file: 'src/load/caller.ts', imports: '../db/queries/transfers.ts' },
  { file: 'src/cli/report.ts', imports: '../main/engine/engine.ts' },
  { file: 'src/cli/report.ts', imports: 'csv-stringify/sync' },
  { file: 'src/logger.ts', imports: './domain/ledger.ts' },
  { file: 'bench/main.ts', imports: '../src/cli/command.ts' },
  { file: 'src/db/audit/audit.ts', imports: '../../test/support/promises/rule.ts' },
  { file: 'src/main/http/server.ts', imports: '../../bench/seed.ts' },
  { file: 'src/load/caller.ts', imports: '../../clients/typescript/src/index.ts' },
  { file: 'src/cli/report.ts', imports: '@gopherpay/client' },
  { file: 'clients/typescript/src/http.ts', imports: '../../../src/load/caller.ts' },
  { file: 'clients/typescript/src/http.ts', imports: 'node:crypto' },
  { file: 'clients/typescript/src/http.ts', imports: 'undici' },
  { file: 'test/support/promises/money.ts', imports: '../../../src/db/audit/money.ts' },
  { file: 'test/support/promises/check.ts', imports: '../database.ts' },
  { file: 'bench/main.ts', imports: '../test/support/until.ts' },
  { file: 'test/main/pages.test.ts', imports: '../chaos/run.ts' },
];

/** What the domain must not do. */
const IMPURE = [
  { text: 'export const now = Date.now();', rule: /no-restricted-globals/ },
  { text: 'export const now = performance.now();', rule: /no-restricted-globals/ },
  { text: 'export const any = Math.random();', rule: /no-restricted-properties/ },
  { text: 'export const id = crypto.randomUUID();', rule: /no-restricted-globals/ },
  { text: 'export async function later() {}', rule: /no-async-await/ },
];

const ALLOWED = [
  { file: 'src/cli/serve.ts', imports: '../main/service.ts' },
  { file: 'src/main/service.ts', imports: './engine/start.ts' },
  { file: 'src/main/api/route.ts', imports: '../http/endpoint.ts' },
  { file: 'src/main/api/route.ts', imports: '../access/rates.ts' },
  { file: 'src/main/access/jwt.ts', imports: '../../domain/access.ts' },
  { file: 'src/main/access/jwt.ts', imports: 'jose' },
  { file: 'src/main/access/issuer.ts', imports: 'undici' },
  { file: 'src/main/webhooks/post.ts', imports: 'undici' },
  { file: 'src/main/engine/engine.ts', imports: '../tracer.ts' },
  { file: 'src/console/app.ts', imports: './pages/overview.ts' },
  { file: 'src/console/format.ts', imports: '../domain/currency.ts' },
  { file: 'src/console/pages/overview.ts', imports: '../ui.ts' },
  { file: 'src/console/ui.ts', imports: 'preact/hooks' },
  { file: 'src/main/console/endpoints.ts', imports: '../http/problem.ts' },
  { file: 'src/main/service.ts', imports: './console/endpoints.ts' },
  { file: 'test/console/verify.test.ts', imports: '../../src/console/verify.ts' },
  { file: 'src/main/tracing/spans.ts', imports: '@opentelemetry/api' },
  { file: 'src/main/tracing/spans.ts', imports: '../tracer.ts' },
  { file: 'src/main/webhooks/turn.ts', imports: '../../db/ledger/webhook-claims.ts' },
  { file: 'src/main/engine/engine.ts', imports: '../../db/queries/transfers.ts' },
  { file: 'src/db/audit/chain.ts', imports: '../connection/connect.ts' },
  { file: 'src/db/backup/dump.ts', imports: '../ledger/grants.ts' },
  { file: 'src/books/record.ts', imports: 'node:crypto' },
  { file: 'src/cli/verify.ts', imports: '../books/verify.ts' },
  { file: 'src/logger.ts', imports: 'pino' },
  { file: 'bench/generator.ts', imports: '../src/load/caller.ts' },
  { file: 'test/support/promises/money.ts', imports: './rule.ts' },
  { file: 'test/main/pages.test.ts', imports: '../support/until.ts' },
  { file: 'test/main/pages.test.ts', imports: '../../src/db/connection/connect.ts' },
  { file: 'test/bench.test.ts', imports: '../bench/seed.ts' },
  { file: 'test/client/retry.test.ts', imports: '../../clients/typescript/src/retry.ts' },
  { file: 'clients/typescript/src/http.ts', imports: './retry.ts' },
  { file: 'clients/typescript/src/http.ts', imports: 'openapi-fetch' },
];

let folder: string;

before(async (scope) => {
  folder = await makeFolder(scope);
  await copyFile(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json'));
});

/** The lint errors of a file with only this import, or with this text. */
async function lint({ file, imports = '', text }: { file: string; imports?: string; text?: string }): Promise<string> {
  await mkdir(dirname(join(folder, file)), { recursive: true });
  await writeFile(join(folder, file), `${text ?? `export * from '${imports}';`}\n`);
  const oxlint = join(ROOT, 'node_modules/.bin/oxlint');
  return await new Promise((resolve) => {
    execFile(process.execPath, [oxlint, file], { cwd: folder }, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

for (const breach of BREACHES) {
  test(`walls: ${breach.file} must not import ${breach.imports}`, async () => {
    assert.match(await lint(breach), /no-restricted-imports/);
  });
}

for (const use of ALLOWED) {
  test(`walls: ${use.file} may import ${use.imports}`, async () => {
    assert.doesNotMatch(await lint(use), /no-restricted-imports|Failed/);
  });
}

for (const { text, rule } of IMPURE) {
  test(`walls: the domain must not use ${text}`, async () => {
    assert.match(await lint({ file: 'src/domain/decide.ts', text }), rule);
  });
}
