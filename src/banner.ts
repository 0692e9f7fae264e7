// What the start of the service says about itself: a line in the log, or a few lines on a terminal.
import { type Config, readChangedSettings } from './config.ts';
import type { Log } from './logger.ts';
import { VERSION } from './version.ts';

type Started = {
  readonly url: string;
  readonly isOpen: boolean;
  readonly database: {
    readonly host: string;
    readonly name: string;
    readonly serverVersion: string;
    readonly ledgers: number;
    readonly accounts: number;
    readonly transfers: number;
    readonly webhooks: number;
  };
};

export function announceStart(
  { logger, print }: Log,
  { url, isOpen, database: { host, name, serverVersion, ...books } }: Started,
  { threads, maxQueue, maxQueueBytes }: Pick<Config, 'threads' | 'maxQueue' | 'maxQueueBytes'>,
): void {
  const settings = readChangedSettings();
  if (!print) {
    const database = { host, name, server_version: serverVersion };
    logger.info({ version: VERSION, url, database, ...books, settings }, 'started');
    return;
  }
  if (!logger.isLevelEnabled('info')) return;
  const changed = Object.entries(settings).map(([setting, value]) => `${setting}=${value}`);
  const { ledgers, accounts, transfers, webhooks } = books;
  const rows = [
    `GopherPay ${VERSION}`,
    `  address   ${url}`,
    `  console   ${url}/`,
    `  database  ${name} on ${host}, PostgreSQL ${serverVersion}`,
    `  books     ${count(ledgers, 'ledger')}, ${count(accounts, 'account')}, ${count(transfers, 'transfer')}`,
    `  callers   ${isOpen ? 'no keys: everyone on this machine may do anything' : 'with a key or a token'}`,
    `  webhooks  ${webhooks === 0 ? 'none' : `${webhooks} enabled`}`,
    `  limits    ${count(threads, 'thread')}, ${count(maxQueue, 'transfer')} or ${Math.round(maxQueueBytes / 1024 ** 2)} MB in the queue`,
    `  settings  ${changed.length === 0 ? 'the defaults' : changed.join(' ')}`,
    '  stop      Ctrl-C, which settles what is accepted first',
  ];
  print(`${rows.join('\n')}\n`);
}

function count(number: number, noun: string): string {
  return `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;
}
