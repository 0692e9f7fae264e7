// Exports the state of the service's parts as metrics.
import { VERSION } from '../version.ts';
import { type ConnectionPool, type DatabaseSettings, hostsOf } from '../db/connection/connect.ts';
import type { Metrics } from './engine/metrics.ts';
import type { RunningEngine } from './engine/start.ts';
import type { StreamSlots } from './http/stream.ts';
import type { ListenerTls } from './http/tls.ts';
import { DROP_REASONS, type Tracer } from './tracer.ts';

export function showService(
  metrics: Metrics,
  parts: {
    database: DatabaseSettings;
    pools: Readonly<Record<string, ConnectionPool>>;
    running: RunningEngine;
    readProbe: { readonly healthy: boolean };
    webhookPlaces: number;
    tls: ListenerTls | null;
    tracer: Tracer | null;
  },
): void {
  const { database, pools, running, readProbe, webhookPlaces, tls, tracer } = parts;
  metrics.show('gopherpay_build_info', () => 1, VERSION, process.versions.node);
  for (const [name, pool] of Object.entries(pools)) {
    metrics.showPool(name === 'pool' ? 'lookup' : name.replace(/Pool$/, ''), pool);
  }
  const hosts = hostsOf(database);
  for (const host of hosts.names) {
    metrics.show('gopherpay_database_host_in_use', () => Number(hosts.inUse() === host), host);
  }
  metrics.show('gopherpay_healthy', () => Number(running.engine.intake.available), 'intake');
  metrics.show('gopherpay_healthy', () => Number(running.recovery.healthy), 'heartbeat');
  metrics.show('gopherpay_healthy', () => Number(readProbe.healthy), 'reads');
  metrics.show('gopherpay_webhooks_sending_limit', () => webhookPlaces);
  for (const reason of tracer ? DROP_REASONS : []) {
    metrics.show('gopherpay_trace_spans_dropped_total', () => tracer?.dropped(reason) ?? 0, reason);
  }
  if (tls) metrics.show('gopherpay_certificate_expiry_timestamp_seconds', () => Date.parse(tls.expiresAt) / 1000);
}

export function showSlots(metrics: Metrics, resource: string, slots: StreamSlots, max: number): void {
  metrics.show('gopherpay_stream_slots', () => slots.used, resource);
  metrics.show('gopherpay_stream_slots_limit', () => max, resource);
}
