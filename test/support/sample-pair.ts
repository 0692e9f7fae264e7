// The two sample ledgers with transfers between them, in every state: delivered, refused, and open at each step.
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import { idOf, Ledger } from './ledger-writer.ts';
import { fillLedger, insertLedger, JOURNAL_ROWS, MAIN, SHOP } from './sample-ledgers.ts';

/** How many rows of the journal each of the two ledgers has. */
export const PAIR_ROWS = JOURNAL_ROWS + 4;

/** The id of the capture or void that ends a transfer between ledgers. */
export function endOf(id: string, step: 'capture' | 'void'): string {
  const hex = createHash('sha256').update(`${id}:${step}`).digest('hex').slice(0, 32);
  const variant = '89ab'.charAt(Number.parseInt(hex.charAt(16), 16) % 4);
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    variant + hex.slice(17, 20),
    hex.slice(20),
  ];
  return parts.join('-');
}

/** The ids of transfers from ANN of main to BOB of shop; the last two are from BOB of shop to CID of main. */
export const BETWEEN = {
  /** Its capture is `endOf(delivered, 'capture')`. */
  delivered: idOf(300),
  /** Its void is `endOf(refused, 'void')`. */
  refused: idOf(301),
  /** There is no credit yet. */
  waiting: idOf(302),
  /** The credit is completed, and the hold is still open. */
  arrived: idOf(303),
  back: idOf(310),
  /** The credit was refused, and the hold is still open. */
  refusedBack: idOf(311),
} as const;

/** Writes the ledgers main and shop into a migrated database. */
export async function writePair(client: Pick<Client, 'query'>): Promise<void> {
  const [main, shop] = [new Ledger(MAIN), new Ledger(SHOP)];
  for (const ledger of [main, shop]) fillLedger(ledger);
  send(main, shop);
  sendBack(main, shop);
  for (const ledger of [main, shop]) {
    if (ledger.journal.length !== PAIR_ROWS) throw new Error(`A ledger has ${ledger.journal.length} rows.`);
    await insertLedger(client, ledger);
  }
}

function send(main: Ledger, shop: Ledger): void {
  const out = { from: 'ANN', to: '@ledger:shop', remoteAccount: 'BOB' };
  const into = { from: '@ledger:main', to: 'BOB', remoteAccount: 'ANN' };
  const unknown = { remoteAccount: 'NOSUCH', description: 'No such account' };
  main.open('@ledger:shop', 'USD');
  main.settle(
    [
      { kind: 'hold', ...out, amount: 30, metadata: { order: '7' }, orderedBy: 'keyanna00001' },
      { kind: 'hold', ...out, ...unknown, amount: 33 },
      { kind: 'hold', ...out, amount: 36, group: { id: idOf(390), position: 0, atomic: false } },
      { kind: 'hold', ...out, amount: 39, group: { id: idOf(390), position: 1, atomic: false } },
      { kind: 'hold', ...out, amount: 999_999, code: 'insufficient_funds' },
    ],
    300,
  );
  shop.open('@ledger:main', 'USD');
  // The amounts of shop are multiplied.
  shop.settle([
    { ...into, id: BETWEEN.delivered, amount: 10, metadata: { order: '7' }, orderedBy: 'keyanna00001' },
    { ...into, ...unknown, id: BETWEEN.refused, to: 'NOSUCH', remoteAccount: 'ANN', amount: 11, code: REFUSAL },
    { ...into, id: BETWEEN.arrived, amount: 13 },
  ]);
  const [capture, release] = [endOf(BETWEEN.delivered, 'capture'), endOf(BETWEEN.refused, 'void')];
  main.settle([
    { kind: 'capture', ...out, id: capture, parent: BETWEEN.delivered, amount: 30 },
    { kind: 'void', ...out, ...unknown, id: release, parent: BETWEEN.refused, amount: 33, description: REFUSAL },
  ]);
}

const REFUSAL = 'destination_not_found';

function sendBack(main: Ledger, shop: Ledger): void {
  const out = { from: 'BOB', to: '@ledger:main', remoteAccount: 'CID' };
  const into = { from: '@ledger:shop', to: 'CID', remoteAccount: 'BOB' };
  shop.settle(
    [
      { kind: 'hold', ...out, amount: 7 },
      { kind: 'hold', ...out, amount: 8 },
    ],
    310,
  );
  main.settle([
    { ...into, id: BETWEEN.back, amount: 21 },
    { ...into, id: BETWEEN.refusedBack, amount: 24, code: 'destination_frozen' },
  ]);
  shop.settle([{ kind: 'capture', ...out, id: endOf(BETWEEN.back, 'capture'), parent: BETWEEN.back, amount: 7 }]);
}
