// Requests that need the approval of a second key, and the decision about one.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import { useState } from 'preact/hooks';
import { Action, type Outcome } from '../dialog.ts';
import { type Filter, FilterForm, filtersIn } from '../filters.ts';
import { count, money } from '../format.ts';
import type { PageProps } from '../pages.ts';
import { hrefOf } from '../place.ts';
import { go } from '../router.ts';
import { useSession } from '../session.ts';
import { TransferTable } from '../transfer-table.ts';
import { Badge, Card, type Column, Facts, Go, Loaded, PageHead, Pager, Table, Time } from '../ui.ts';
import { useData } from '../use-data.ts';
import type { Approval, Page, Transfer } from '../wire.ts';

const READ_MS = 3000;
const FILTERS: readonly Filter[] = [
  { name: 'state', label: 'State', options: ['pending', 'approved', 'rejected', 'expired'] },
];

/** The list, or the request that the path names. */
export function Approvals({ path, query }: PageProps): VNode {
  const [id] = path;
  return id === undefined ? html`<${ApprovalList} query=${query} />` : html`<${ApprovalPage} id=${id} />`;
}

function ApprovalList({ query }: { query: URLSearchParams }): VNode {
  const { api, ledger } = useSession();
  const values = filtersIn(query, FILTERS);
  const after = query.get('after');
  const data = useData<Page<Approval>>(
    async (signal) => await api.get('/approvals', { ledger, query: { ...values, after }, signal }),
    [ledger, JSON.stringify(values), after],
    after === null ? READ_MS : null,
  );
  return html`<${PageHead}
      title="Approvals"
      note=${`Ledger ${ledger}: requests above the limit wait for a second key.`}
    />
    <${Card}><${FilterForm} label="Filter approvals" filters=${FILTERS} values=${values} path=${['approvals']} /><//>
    <${Card}>
      <${Loaded} data=${data}
        >${({ items, next }: Page<Approval>) =>
          html`<${Table}
              label="Approvals"
              columns=${COLUMNS}
              rows=${items}
              keyOf=${({ approval_id: id }: Approval) => id}
              empty="No request needed an approval. gopherpay approval-rule sets above which amount one does."
            />
            <${Pager}
              after=${after}
              next=${next}
              onGo=${(next: string | null) => go(hrefOf(ledger, ['approvals'], { ...values, after: next }))}
            />`}<//
      >
    <//>`;
}

const COLUMNS: readonly Column<Approval>[] = [
  {
    name: 'Request',
    isHead: true,
    cell: (approval) => html`<${Go} to=${['approvals', approval.approval_id]}>${summaryOf(approval)}<//>`,
  },
  { name: 'State', cell: ({ state }) => html`<${Badge} state=${state} />` },
  { name: 'Requested by', cell: ({ requested_by: by }) => html`<code>${by}</code>` },
  { name: 'Requested', cell: ({ created_at: at }) => html`<${Time} at=${at} />` },
  { name: 'Expires', cell: ({ expires_at: at }) => html`<${Time} at=${at} />` },
  { name: 'Decided by', cell: ({ decided_by: by }) => (by === null ? '–' : html`<code>${by}</code>`) },
];

type Member = Readonly<Record<string, unknown>>;

function membersOf({ request }: Approval): readonly Member[] {
  const { transfers } = request;
  return Array.isArray(transfers) ? transfers.filter((each): each is Member => typeof each === 'object') : [];
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function amountOf({ amount, currency }: Member): string {
  if (typeof amount !== 'number') return '–';
  // A request need not name the currency: that of its accounts counts then.
  return typeof currency === 'string' ? money(amount, currency) : `${count(amount)} minor units`;
}

function summaryOf(approval: Approval): string {
  if (approval.kind === 'account') {
    const { account_number: number, overdraft_limit: limit } = approval.request;
    return `an overdraft limit of ${typeof limit === 'number' ? count(limit) : '–'} minor units for ${textOf(number)}`;
  }
  const [first, ...rest] = membersOf(approval);
  if (!first) return 'transfers';
  return rest.length === 0 ? `${textOf(first['kind'])} of ${amountOf(first)}` : `${rest.length + 1} transfers`;
}

function ApprovalPage({ id }: { id: string }): VNode {
  const { api, ledger } = useSession();
  const path = `/approvals/${encodeURIComponent(id)}`;
  // Only the answer to a decision has the transfers that it executed.
  const [executed, setExecuted] = useState<readonly Transfer[] | null>(null);
  const data = useData<Approval>(async (signal) => await api.get(path, { ledger, signal }), [ledger, id], READ_MS);
  return html`<${PageHead} title="Approval" note=${data.value ? summaryOf(data.value) : ''}>
      ${data.value && html`<${Decision} approval=${data.value} path=${path} onExecuted=${setExecuted} onDone=${data.reload} />`}
      <${Go} to=${['approvals']}>All approvals<//>
    <//>
    <${Loaded} data=${data}
      >${(approval: Approval) => html`<${Detail} approval=${approval} executed=${approval.transfers ?? executed} />`}<//
    >`;
}

function Detail({ approval, executed }: { approval: Approval; executed: readonly Transfer[] | null }): VNode {
  const members = membersOf(approval);
  return html`<${Card} title="Request">
      <${Facts}
        facts=${[
          ['State', html`<${Badge} state=${approval.state} />`],
          ['Requested by', html`<code>${approval.requested_by}</code>`],
          ['Requested', html`<${Time} at=${approval.created_at} />`],
          ['Expires', html`<${Time} at=${approval.expires_at} />`],
          ['Decided by', approval.decided_by && html`<code>${approval.decided_by}</code>`],
          ['Decided', html`<${Time} at=${approval.decided_at} />`],
          ['Id', html`<code>${approval.approval_id}</code>`],
        ]}
      />
    <//>
    <${Card} title="What was requested">
      ${
        members.length > 0
          ? html`<${Table}
              label="Requested transfers"
              columns=${MEMBER_COLUMNS}
              rows=${members}
              keyOf=${(member: Member) => members.indexOf(member)}
            />`
          : html`<pre>${JSON.stringify(approval.request, null, 2)}</pre>`
      }
    <//>
    ${executed && html`<${Card} title="Transfers"><${TransferTable} transfers=${executed} /><//>`}`;
}

const MEMBER_COLUMNS: readonly Column<Member>[] = [
  { name: 'Kind', isHead: true, cell: ({ kind }) => textOf(kind) },
  { name: 'From', cell: ({ from_account: from }) => html`<bdi>${textOf(from)}</bdi>` },
  { name: 'To', cell: ({ to_account: to }) => html`<bdi>${textOf(to)}</bdi>` },
  { name: 'Amount', numeric: true, cell: amountOf },
  { name: 'Description', cell: ({ description }) => html`<bdi class="clipped">${textOf(description)}</bdi>` },
];

/** Approving and rejecting, for keys that may. A key may reject its own request, but not approve it. */
function Decision({
  approval,
  path,
  onExecuted,
  onDone,
}: {
  approval: Approval;
  path: string;
  onExecuted: (transfers: readonly Transfer[]) => void;
  onDone: () => void;
}): VNode | null {
  const { api, ledger, access, may } = useSession();
  const needed = approval.kind === 'account' ? ['funding:write', 'accounts:admin'] : ['funding:write'];
  if (!needed.every(may)) return null;
  const isPending = approval.state === 'pending';
  const decide = async (decision: 'approve' | 'reject'): Promise<Outcome> => {
    const headers = { Prefer: 'wait=10' };
    const decided = await api.send<Approval>('POST', path, { ledger, body: { decision }, headers });
    const transfers = decided.transfers ?? [];
    if (transfers.length > 0) onExecuted(transfers);
    const [first, ...rest] = transfers;
    const failed = transfers.filter(({ status }) => status === 'failed').length;
    const outcome = failed > 0 ? ` ${failed} of its transfers failed.` : '';
    return {
      isGood: failed === 0,
      text: `The request is ${decided.state}.${outcome}`,
      ...(first && rest.length === 0 && { transferId: first.id }),
    };
  };
  return html`<${Action}
      label="Approve"
      title="Approve the request?"
      isOffered=${isPending && approval.requested_by !== access.key}
      run=${async () => await decide('approve')}
      onDone=${onDone}
    >
      <p>It is executed at once: ${summaryOf(approval)}, requested by ${approval.requested_by}.</p>
    <//>
    <${Action}
      label="Reject"
      title="Reject the request?"
      isDanger
      isOffered=${isPending}
      run=${async () => await decide('reject')}
      onDone=${onDone}
    >
      <p>It can never be approved afterwards. Nothing is moved.</p>
    <//>`;
}
