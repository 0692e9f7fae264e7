// The handlers of approvals: list what waits, show one, decide it.
import { constraintOf } from '../../../db/connection/errors.ts';
import { withTransaction } from '../../../db/connection/transaction.ts';
import { sealAccount, updateAccount } from '../../../db/ledger/accounts.ts';
import { recordAdministration } from '../../../db/ledger/administration.ts';
import { type ApprovalRecord, decideApproval, listApprovals, loadApproval } from '../../../db/ledger/approvals.ts';
import { isRevoked } from '../../../db/queries/access.ts';
import type { Transfer } from '../../../db/queries/transfers.ts';
import { isUuid } from '../../../validation.ts';
import type { z } from 'zod';
import { Problem } from '../../http/problem.ts';
import { approvalExpired } from '../approvals.ts';
import { refuseBoundKey } from '../between-ledgers.ts';
import { readAccount, readTransfers } from '../kept-transfers.ts';
import { invalidCursor, renderRows } from '../pages.ts';
import { leavesLedger, notAllowed, refuseTransfers, requireScope } from '../permissions.ts';
import type { Services } from '../reads.ts';
import { type Answer, defineRoute, NO_BODY, type RequestContext, type Route } from '../route.ts';
import { listApprovalsSchema } from '../list-parameters.ts';
import { decideApprovalSchema, NO_PARAMETERS } from '../schemas.ts';
import { asOrderer, submitKept } from '../submission.ts';
import { renderApproval } from '../views.ts';

export function approvalRoutes(services: Services): Route[] {
  return [
    defineRoute({
      operationId: 'listApprovals',
      tag: 'Approvals',
      method: 'GET',
      pattern: '/approvals',
      wholeLedger: true,
      scope: 'transfers:read',
      summary: 'Requests that need the approval of a second key, newest first',
      query: listApprovalsSchema,
      body: NO_BODY,
      answers: { 200: 'ApprovalPage' },
      problems: ['query_too_slow'],
      handle: async ({ ledger, query, caller }) => {
        const { limit, after, order, state } = query;
        if (after !== undefined && !isUuid(after)) throw invalidCursor();
        const newestFirst = order === 'newest';
        const page = { limit: limit + 1, after: after ?? null, newestFirst, state: state ?? null };
        const found = await services.scans.run(caller, async (pool) => await listApprovals(pool, ledger, page));
        return { status: 200, ...renderRows(found, limit, renderListed, ({ id }) => id) };
      },
    }),
    defineRoute({
      operationId: 'getApproval',
      tag: 'Approvals',
      method: 'GET',
      pattern: '/approvals/:id',
      wholeLedger: true,
      scope: 'transfers:read',
      summary: 'One request that needs an approval',
      query: NO_PARAMETERS,
      body: NO_BODY,
      answers: { 200: 'Approval' },
      problems: ['approval_not_found'],
      handle: async (context) => ({ status: 200, json: renderApproval(await find(services, context), null) }),
    }),
    defineRoute({
      operationId: 'decideApproval',
      tag: 'Approvals',
      method: 'POST',
      pattern: '/approvals/:id',
      wholeLedger: true,
      scope: 'funding:write',
      summary: 'Approve or reject a request, with another key than the one that sent it',
      query: NO_PARAMETERS,
      body: decideApprovalSchema,
      bodyOptional: true,
      answers: { 200: 'Approval', 202: 'Approval' },
      problems: [
        'approval_not_found',
        'approval_decided',
        'approval_expired',
        'account_closed',
        'overdraft_in_use',
        'idempotency_key_reused',
        'group_too_large',
        'daily_limit_reached',
        'queue_full',
      ],
      handle: async (context) => await decide(services, context),
    }),
  ];
}

/** An approval without the transfers that its decision executed. */
const renderListed = (record: ApprovalRecord) => renderApproval(record, null);

type Context = RequestContext<unknown, z.output<typeof decideApprovalSchema>>;

async function find(
  { lookUps }: Services,
  { ledger, caller, parameters: [id = ''] }: Pick<Context, 'ledger' | 'caller' | 'parameters'>,
): Promise<ApprovalRecord> {
  const record = isUuid(id)
    ? await lookUps.run(caller, async (pool) => await loadApproval(pool, ledger, id))
    : undefined;
  if (!record) throw new Problem('approval_not_found', 'There is no request for approval with this id.');
  return record;
}

async function decide(services: Services, context: Context): Promise<Answer> {
  const { principal, body } = context;
  const record = await find(services, context);
  if (record.kind === 'account') requireScope(principal, 'accounts:admin');
  const state = body.decision === 'reject' ? 'rejected' : 'approved';
  if (state === 'approved' && record.requestedBy === principal.id) {
    throw notAllowed('A key cannot approve its own request.');
  }
  if (state === 'approved' && record.kind === 'transfers') {
    // Before the decision is written: a refused approver has decided nothing.
    const { members, amountAtMost } = readTransfers(record);
    if (members.some(leavesLedger)) refuseBoundKey(principal);
    refuseTransfers(principal, members, { amountAtMost, locate: () => null });
  }
  if (record.state === 'pending') await write(services, context, { record, state });
  const decided = record.state === 'pending' ? await find(services, context) : record;
  if (decided.state === 'expired') throw approvalExpired();
  if (decided.state !== state) throw new Problem('approval_decided', `The request was ${decided.state} before.`);
  // Also after an earlier approval whose answer was lost: the idempotency key makes it happen once.
  const transfers =
    state === 'approved' && decided.kind === 'transfers' ? await execute(services, context, decided) : null;
  const isPending = transfers?.some(({ status }) => status === 'pending') ?? false;
  return { status: isPending ? 202 : 200, json: renderApproval(decided, transfers), log: { approval_id: decided.id } };
}

/** Writes the decision, and the change of an account that it approves, in one transaction. */
async function write(
  { changes }: Services,
  { ledger, principal, caller }: Context,
  { record, state }: { record: ApprovalRecord; state: 'approved' | 'rejected' },
): Promise<void> {
  const decidedBy = principal.id ?? '';
  const writing = changes.run(
    caller,
    async (pool) =>
      await withTransaction(pool, async (connection) => {
        if (state === 'approved' && (await isRevoked(connection, record.requestedBy))) {
          throw notAllowed('The key that sent the request was revoked. Reject the request.');
        }
        if (!(await decideApproval(connection, ledger, { id: record.id, state, decidedBy }))) return;
        if (state === 'approved' && record.kind === 'account') {
          const { accountNumber, overdraftLimit } = readAccount(record);
          const account = await updateAccount(connection, ledger, accountNumber, { personalData: {}, overdraftLimit });
          if (typeof account === 'string') throw new Problem('account_closed', 'A closed account cannot be changed.');
          const by = { orderedBy: record.requestedBy, approvedBy: decidedBy };
          await sealAccount(connection, ledger, account, by);
        }
        const action = state === 'approved' ? 'approval.approved' : 'approval.rejected';
        const details = { requested_by: record.requestedBy };
        await recordAdministration(connection, ledger, { action, actor: decidedBy, subject: record.id, details });
      }),
  );
  await writing.catch((error: unknown) => {
    if (constraintOf(error) !== 'accounts_no_overdraft') throw error;
    throw new Problem('overdraft_in_use', 'The account has already drawn more than this limit.');
  });
}

async function execute({ engine }: Services, context: Context, record: ApprovalRecord): Promise<readonly Transfer[]> {
  const { principal, headers } = context;
  const kept = readTransfers(record);
  const request = {
    ...context,
    query: {},
    headers: { ...headers, 'idempotency-key': record.idempotencyKey },
    // The scopes of the approver count, because the key that sent the request may have ended.
    principal: asOrderer(principal, record.requestedBy),
    approvedBy: record.decidedBy,
    fingerprinted: kept.fingerprinted,
    amountAtMost: kept.amountAtMost,
  };
  return await submitKept(engine, request, kept);
}
