// What the start of the service says about itself: a line in the log, or a few lines on a terminal.
import { readChangedSettings } from './config.ts';
import type { Log } from './logger.ts';
import { VERSION } from './version.ts';

type Database = {
  readonly host: string;
  readonly name: string;
  readonly serverVersion: string;
  readonly ledgers: number;
};

export function announceStart({ logger, print }: Log, { host, name, serverVersion, ledgers }: Database): void {
  const settings = readChangedSettings();
  if (!print) {
    const database = { host, name, server_version: serverVersion };
    logger.info({ version: VERSION, database, ledgers, settings }, 'started');
    return;
  }
  if (!logger.isLevelEnabled('info')) return;
  const changed = Object.entries(settings).map(([setting, value]) => `${setting}=${value}`);
  const rows = [
    `GopherPay ${VERSION}`,
    `  database  ${name} on ${host}, PostgreSQL ${serverVersion}`,
    `  ledgers   ${ledgers}`,
    `  settings  ${changed.length === 0 ? 'the defaults' : changed.join(' ')}`,
  ];
  print(`${rows.join('\n')}\n`);
}
