// Webhooks: events that the service sends to a URL.
import { continued, dataOf } from './answers.ts';
import type { Http, RequestOptions, WriteOptions } from './http.ts';
import { List } from './pages.ts';
import type {
  DeliveriesQuery,
  Delivery,
  NewWebhook,
  SecretRotation,
  Webhook,
  WebhooksQuery,
  WebhookUpdate,
} from './types.ts';

export class Webhooks {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Registers a URL. Only this answer has the `secret`. */
  async create(webhook: NewWebhook, options: WriteOptions = {}): Promise<Webhook> {
    return await dataOf(this.#http.api.POST('/webhooks', { ...this.#http.keyed(options), body: webhook }));
  }

  async get(id: string, options: RequestOptions = {}): Promise<Webhook> {
    const params = { path: { id } };
    return await dataOf(this.#http.api.GET('/webhooks/{id}', { ...this.#http.repeatable(options), params }));
  }

  list(query: WebhooksQuery = {}, options: RequestOptions = {}): List<Webhook> {
    return new List((after) =>
      dataOf(
        this.#http.api.GET('/webhooks', {
          ...this.#http.repeatable(options),
          params: { query: continued(query, after) },
        }),
      ),
    );
  }

  /** Changes the members that are present. As for accounts, a lost answer is not followed by another attempt. */
  async update(id: string, change: WebhookUpdate, options: RequestOptions = {}): Promise<Webhook> {
    const params = { path: { id } };
    return await dataOf(this.#http.api.PATCH('/webhooks/{id}', { ...this.#http.once(options), params, body: change }));
  }

  /** Deletes a webhook. After a lost answer, another attempt may be refused with `webhook_not_found`. */
  async delete(id: string, options: RequestOptions = {}): Promise<void> {
    await this.#http.api.DELETE('/webhooks/{id}', { ...this.#http.repeatable(options), params: { path: { id } } });
  }

  /** Makes a new secret. Only this answer has it. */
  async rotateSecret(id: string, rotation: SecretRotation = {}, options: WriteOptions = {}): Promise<Webhook> {
    const params = { path: { id } };
    return await dataOf(
      this.#http.api.POST('/webhooks/{id}/rotate-secret', { ...this.#http.keyed(options), params, body: rotation }),
    );
  }

  deliveries(id: string, query: DeliveriesQuery = {}, options: RequestOptions = {}): List<Delivery> {
    return new List((after) =>
      dataOf(
        this.#http.api.GET('/webhooks/{id}/deliveries', {
          ...this.#http.repeatable(options),
          params: { path: { id }, query: continued(query, after) },
        }),
      ),
    );
  }

  /** Has a delivery sent again. Receivers may get any delivery twice, so it needs no key. */
  async redeliver(id: string, number: number, options: RequestOptions = {}): Promise<Delivery> {
    const params = { path: { id, number } };
    return await dataOf(
      this.#http.api.POST('/webhooks/{id}/deliveries/{number}/redeliver', {
        ...this.#http.repeatable(options),
        params,
      }),
    );
  }
}
