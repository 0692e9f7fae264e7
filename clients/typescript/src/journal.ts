// The journal, for auditors: the chain of hashes, and the records over which the digest of a row is made.
import { continued, dataOf } from './answers.ts';
import type { Http, RequestOptions } from './http.ts';
import { List } from './pages.ts';
import type { JournalDetail, JournalQuery, JournalRow, JournalRowQuery } from './types.ts';

export class Journal {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** The rows, the newest first unless `order` says otherwise. */
  list(query: JournalQuery = {}, options: RequestOptions = {}): List<JournalRow> {
    return new List((after) =>
      dataOf(
        this.#http.api.GET('/journal', {
          ...this.#http.repeatable(options),
          params: { query: continued(query, after) },
        }),
      ),
    );
  }

  /** A row with its first records; `after_record` continues after those of an earlier answer. */
  async get(number: number, query: JournalRowQuery = {}, options: RequestOptions = {}): Promise<JournalDetail> {
    return await dataOf(
      this.#http.api.GET('/journal/{number}', {
        ...this.#http.repeatable(options),
        params: { path: { number }, query },
      }),
    );
  }
}
