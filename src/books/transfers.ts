// What each settled transfer must be by itself: its final state, and its place in its group.
import type { Findings } from './findings.ts';
import type { Line } from './form.ts';

const MOVES_MONEY: ReadonlySet<string> = new Set(['transfer', 'capture', 'reversal']);
/** The account that stands for another ledger has its name after this text. */
const LEDGER_PREFIX = '@ledger:';
const BY_ITSELF: ReadonlySet<string> = new Set(['transfer', 'hold']);

/** Compares a transfer with the constraints of its table, which its books may never have had. */
export function checkTransfer(line: Line<'transfer'>, findings: Findings): void {
  const { id, kind, status, currency, rate, expires_in: expiresIn } = line;
  const completed = status === 'completed';
  const moved = completed && MOVES_MONEY.has(kind);
  const about = { transfer: id, account: line.from_account, currency };
  const must = (what: string, holds: boolean, expected: string, found: string | number | boolean | undefined) =>
    findings.must('final.transfers', about, what, holds, expected, found);
  findings.count('final.transfers');
  must(
    'failure_code',
    (line.failure_code === undefined) === completed,
    'a code exactly if it failed',
    line.failure_code,
  );
  must('amount', line.amount !== undefined || !completed, 'an amount', line.amount);
  must('currency', currency !== undefined || !completed, 'a currency', currency);
  must('accounts', line.from_account !== line.to_account, 'two different ones', line.to_account);
  for (const name of ['from_entry_number', 'from_balance', 'to_entry_number', 'to_balance'] as const) {
    must(name, (line[name] !== undefined) === moved, 'a number exactly if money moved', line[name]);
  }
  must(
    'parent_id',
    (line.parent_id === undefined) === BY_ITSELF.has(kind),
    'an id, if the kind has a parent',
    line.parent_id,
  );
  const group = [line.group_id, line.group_position, line.atomic].filter((value) => value !== undefined).length;
  must('group_id, group_position and atomic', group === 0 || group === 3, 'all or none', group);
  must(
    'final_capture',
    (line.final_capture !== undefined) === (kind === 'capture'),
    'only of a capture',
    line.final_capture,
  );
  must('expires_in', expiresIn === undefined || kind === 'hold', 'only of a hold', expiresIn);
  const { remote_account: remote } = line;
  const sides = [line.from_account, line.to_account].map((number) => number.startsWith(LEDGER_PREFIX));
  const side = kind === 'transfer' ? 0 : ['hold', 'capture', 'void'].includes(kind) ? 1 : null;
  must(
    'remote_account',
    remote === undefined ? !sides.includes(true) : side !== null && sides[side] === true && sides[1 - side] === false,
    'exactly that of a step between ledgers',
    remote,
  );
  if (rate === undefined) return;
  const pair = rate.slice(0, 7).split('/');
  must(
    'rate',
    kind === 'transfer' && line.atomic === true && pair.includes(currency ?? ''),
    'that of its conversion',
    rate,
  );
}

type Group = { size: number; completed: number; readonly positions: Set<number> };

/** The atomic groups of one row of the journal: those that completed are whole there, and all of their members did. */
export class AtomicGroups {
  readonly #groups = new Map<string, Group>();

  add({ group_id: id, group_position: position, atomic, status }: Line<'transfer'>): void {
    if (id === undefined || position === undefined || atomic !== true) return;
    const group = this.#groups.get(id) ?? { size: 0, completed: 0, positions: new Set() };
    group.size += 1;
    group.completed += status === 'completed' ? 1 : 0;
    group.positions.add(position);
    this.#groups.set(id, group);
  }

  endRow(findings: Findings): void {
    if (this.#groups.size === 0) return;
    for (const [id, { size, completed, positions }] of this.#groups) {
      findings.count('once.groups');
      if (completed === 0) continue;
      const about = { transfer: id };
      findings.equal('once.groups', about, 'members of an atomic group that completed', size, completed);
      const gapless = positions.size === size && positions.values().every((position) => position < size);
      findings.must(
        'once.groups',
        about,
        'positions in the group',
        gapless,
        '0, 1, 2, without gaps',
        [...positions].join(', '),
      );
    }
    this.#groups.clear();
  }
}
