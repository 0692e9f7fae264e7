// A generator makes a Python client of the OpenAPI document, which opens accounts and orders a transfer, a group and a
// hold on a service. CONTRACT_PYTHON names a Python that has the generator; clients/tools/requirements.txt has its version.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { DOCUMENT_FILE, run } from '../support/contract-tools.ts';
import { createDatabase } from '../support/database.ts';
import { checkPromises } from '../support/promises/check.ts';
import { makeFolder, startService } from '../support/service.ts';

const NAMED = process.env['CONTRACT_PYTHON'];
const PYTHON = NAMED ?? 'python3';

const PROGRAM = `
import json
import sys

from gopherpay_client import AuthenticatedClient
from gopherpay_client.api.accounts import create_account
from gopherpay_client.api.holds import create_hold, get_hold
from gopherpay_client.api.transfers import create_transfer
from gopherpay_client.models import (
    Account, Accounts, AmountShare, Group, Hold, NewAccount, NewAccounts, NewGroup, NewGroupMember, NewHold, NewTransfer,
    Problem, Transfer,
)

client = AuthenticatedClient(base_url=sys.argv[1], token="none is needed on loopback")
order = NewTransfer(from_account="ANN", to_account="BOB", amount=100)

one = create_account.sync(client=client, body=NewAccount(account_number="ANN", name="Ann", balance=1000))
assert isinstance(one, Account), one
several = create_account.sync(
    client=client,
    body=NewAccounts(accounts=[NewAccount(account_number="BOB", name="Bob"), NewAccount(account_number="FEES", name="Fees")]),
)
assert isinstance(several, Accounts), several
transfer = create_transfer.sync(client=client, body=order, prefer="wait=10")
assert isinstance(transfer, Transfer), transfer
whole = NewGroupMember(from_account="ANN", to_account="BOB", amount=100)
half = NewGroupMember(from_account="ANN", to_account="FEES", share=AmountShare(of=0, basis_points=5000))
group = create_transfer.sync(client=client, body=NewGroup(transfers=[whole, half], atomic=True), prefer="wait=10")
assert isinstance(group, Group), group
reserved = create_hold.sync(
    client=client, body=NewHold(from_account="ANN", to_account="BOB", amount=100, expires_in=3600), prefer="wait=10"
)
assert isinstance(reserved, Transfer), reserved
hold = get_hold.sync(reserved.id, client=client)
assert isinstance(hold, Hold), hold
refused = create_transfer.sync(client=client, body=NewTransfer(from_account="ANN", to_account="BOB", amount=0))
assert isinstance(refused, Problem), refused

print(json.dumps({
    "account": one.account_number,
    "accounts": [each.account_number for each in several.accounts],
    "transfer": transfer.status,
    "group": [each.amount for each in group.transfers],
    "hold": hold.state,
    "problem": refused.code,
}))
`;

test('clients: openapi-python-client orders a transfer, a group and a hold', async (t) => {
  if (!(await hasGenerator())) {
    // Node is all that the project needs elsewhere. CI names a Python that has the generator, and cannot get here.
    t.skip(`${PYTHON} has no openapi_python_client: pip install -r clients/tools/requirements.txt`);
    return;
  }
  const folder = await makeFolder(t);
  const config = join(folder, 'config.yml');
  // By default it formats what it wrote.
  await writeFile(config, 'post_hooks: []\n');
  const output = join(folder, 'gopherpay_client');
  const args = ['--path', DOCUMENT_FILE, '--output-path', output, '--config', config, '--meta', 'none'];
  await run(PYTHON, ['-m', 'openapi_python_client', 'generate', ...args, '--fail-on-warning'], folder);
  await writeFile(join(folder, 'main.py'), PROGRAM);
  const database = await createDatabase(t);
  const service = await startService(t, { database, env: { THREADS: '1', LOG_LEVEL: 'warn' } });
  const printed = await run(PYTHON, [join(folder, 'main.py'), service.url], folder);
  assert.deepEqual(JSON.parse(printed), {
    account: 'ANN',
    accounts: ['BOB', 'FEES'],
    transfer: 'completed',
    group: [100, 50],
    hold: 'open',
    problem: 'amount_not_positive',
  });
  await checkPromises(database, { nothingPending: true });
});

/** Whether the generator is installed. A Python that CONTRACT_PYTHON names must have it: CI may not skip the test. */
async function hasGenerator(): Promise<boolean> {
  const found = run(PYTHON, ['-c', 'import openapi_python_client']);
  if (NAMED !== undefined) return await found.then(() => true);
  return await found.then(
    () => true,
    () => false,
  );
}
