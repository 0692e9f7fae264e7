// The client: one ledger of one service.
import { Accounts, Statements } from './accounts.ts';
import { Approvals, AuditLog, Balances, Clock, Ledgers } from './books.ts';
import { Events } from './events.ts';
import { Journal } from './journal.ts';
import { type ClientOptions, Http } from './http.ts';
import { Holds, Transfers } from './transfers.ts';
import { Webhooks } from './webhooks.ts';

export class GopherPay {
  readonly accounts: Accounts;
  readonly transfers: Transfers;
  readonly holds: Holds;
  readonly events: Events;
  readonly journal: Journal;
  readonly statements: Statements;
  readonly balances: Balances;
  readonly approvals: Approvals;
  readonly auditLog: AuditLog;
  readonly webhooks: Webhooks;
  readonly clock: Clock;
  /** The ledgers of the service; the others belong to the ledger of the options. */
  readonly ledgers: Ledgers;

  constructor(options: ClientOptions) {
    const http = new Http(options);
    this.accounts = new Accounts(http);
    this.transfers = new Transfers(http);
    this.holds = new Holds(http);
    this.events = new Events(http);
    this.journal = new Journal(http);
    this.statements = new Statements(http);
    this.balances = new Balances(http);
    this.approvals = new Approvals(http);
    this.auditLog = new AuditLog(http);
    this.webhooks = new Webhooks(http);
    this.clock = new Clock(http);
    this.ledgers = new Ledgers(http);
  }
}
