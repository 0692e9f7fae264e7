// Two generators make TypeScript clients of the OpenAPI document. Each is type-checked strictly, then opens accounts and
// orders a transfer, a group and a hold on a service.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DOCUMENT_FILE, makeProgramFolder, run, runTool, TYPESCRIPT_5 } from '../support/contract-tools.ts';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { startService } from '../support/service.ts';

const STRICT = {
  compilerOptions: {
    target: 'es2022',
    module: 'nodenext',
    lib: ['es2022', 'dom', 'dom.iterable'],
    types: ['node'],
    strict: true,
    noUncheckedIndexedAccess: true,
    noImplicitOverride: true,
  },
};

/** What each program prints. */
const EXPECTED = {
  account: 'ANN',
  accounts: ['BOB', 'FEES'],
  transfer: 'completed',
  group: [100, 50],
  hold: 'open',
  problem: 'amount_not_positive',
};

const OPENAPI_FETCH = `
import createClient from 'openapi-fetch';
import type { paths } from './api.js';

const client = createClient<paths>({ baseUrl: process.argv[2] ?? '' });
const header = { Prefer: 'wait=10' };
const order = { from_account: 'ANN', to_account: 'BOB', amount: 100 };
const half = { from_account: 'ANN', to_account: 'FEES', share: { of: 0, basis_points: 5000 } };

const one = await client.POST('/accounts', { body: { account_number: 'ANN', name: 'Ann', balance: 1000 } });
if (one.data?.object !== 'account') throw new Error(one.error?.detail);
const several = await client.POST('/accounts', {
  body: { accounts: [{ account_number: 'BOB', name: 'Bob' }, { account_number: 'FEES', name: 'Fees' }] },
});
if (several.data?.object !== 'accounts') throw new Error(several.error?.detail);
const transfer = await client.POST('/transfers', { params: { header }, body: order });
if (transfer.data?.object !== 'transfer') throw new Error(transfer.error?.detail);
const group = await client.POST('/transfers', { params: { header }, body: { transfers: [order, half], atomic: true } });
if (group.data?.object !== 'group') throw new Error(group.error?.detail);
const reserved = await client.POST('/holds', { params: { header }, body: { ...order, expires_in: 3600 } });
if (reserved.data?.object !== 'transfer') throw new Error(reserved.error?.detail);
const hold = await client.GET('/holds/{id}', { params: { path: { id: reserved.data.id } } });
const refused = await client.POST('/transfers', { body: { ...order, amount: 0 } });
console.log(
  JSON.stringify({
    account: one.data.account_number,
    accounts: several.data.accounts.map((each) => each.account_number),
    transfer: transfer.data.status,
    group: group.data.transfers.map((each) => each.amount),
    hold: hold.data?.state,
    problem: refused.error?.code,
  }),
);
`;

const HEY_API = `
import { createAccount, createHold, createTransfer, getHold } from './client/index.js';
import { client } from './client/client.gen.js';

client.setConfig({ baseUrl: process.argv[2] ?? '' });
const headers = { Prefer: 'wait=10' };
const order = { from_account: 'ANN', to_account: 'BOB', amount: 100 };
const half = { from_account: 'ANN', to_account: 'FEES', share: { of: 0, basis_points: 5000 } };

const one = await createAccount({ body: { account_number: 'ANN', name: 'Ann', balance: 1000 }, throwOnError: true });
if (one.data.object !== 'account') throw new Error(one.data.object);
const several = await createAccount({
  body: { accounts: [{ account_number: 'BOB', name: 'Bob' }, { account_number: 'FEES', name: 'Fees' }] },
  throwOnError: true,
});
if (several.data.object !== 'accounts') throw new Error(several.data.object);
const transfer = await createTransfer({ headers, body: order, throwOnError: true });
if (transfer.data.object !== 'transfer') throw new Error(transfer.data.object);
const group = await createTransfer({ headers, body: { transfers: [order, half], atomic: true }, throwOnError: true });
if (group.data.object !== 'group') throw new Error(group.data.object);
const reserved = await createHold({ headers, body: { ...order, expires_in: 3600 }, throwOnError: true });
if (reserved.data.object !== 'transfer') throw new Error(reserved.data.object);
const hold = await getHold({ path: { id: reserved.data.id }, throwOnError: true });
const refused = await createTransfer({ body: { ...order, amount: 0 } });
console.log(
  JSON.stringify({
    account: one.data.account_number,
    accounts: several.data.accounts.map((each) => each.account_number),
    transfer: transfer.data.status,
    group: group.data.transfers.map((each) => each.amount),
    hold: hold.data.state,
    problem: refused.error?.code,
  }),
);
`;

test('clients: openapi-typescript and openapi-fetch order a transfer, a group and a hold', async (t) => {
  const folder = await makeProgramFolder(t);
  await runTool('openapi-typescript', [DOCUMENT_FILE, '--output', join(folder, 'api.d.ts')]);
  await runProgram(t, folder, OPENAPI_FETCH);
});

test('clients: @hey-api/openapi-ts orders a transfer, a group and a hold', async (t) => {
  const folder = await makeProgramFolder(t);
  const script = join(folder, 'node_modules/@hey-api/openapi-ts/dist/run.mjs');
  const args = ['--input', DOCUMENT_FILE, '--output', join(folder, 'client'), '--client', '@hey-api/client-fetch'];
  await run(process.execPath, ['--import', TYPESCRIPT_5, script, ...args], folder);
  await runProgram(t, folder, HEY_API);
});

/** Type-checks and runs a program against a new service. */
async function runProgram(t: TestContext, folder: string, program: string): Promise<void> {
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(STRICT));
  await writeFile(join(folder, 'main.ts'), program);
  await runTool('tsc', ['--project', folder]);
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  const printed = await run(process.execPath, [join(folder, 'main.js'), service.url], folder);
  assert.deepEqual(JSON.parse(printed), EXPECTED);
  await checkPromises(database, { nothingPending: true });
}
