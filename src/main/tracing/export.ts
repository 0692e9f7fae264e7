// Sends spans to the collector, in bounded memory. A collector that is away, or too slow, costs spans and nothing else.
import { BatchSpanProcessor, type SpanExporter, type SpanProcessor } from '@opentelemetry/sdk-trace';
import type { Logger } from '../../logger.ts';
import type { DropReason } from '../tracer.ts';

/** How many spans may wait for the collector, sent ones included: a full job with its requests makes about 6,000. */
export const SPANS_MAX = 8192;
/** How long spans wait for others, to be sent together. */
const DELAY_MS = 1000;
/** Losses are logged together, at most this often. */
const REPORT_MS = 5000;

export type Losses = {
  note(spans: number, kind: DropReason, reason: string): void;
  /** Logs those that were not logged yet. */
  report(): void;
  /** All so far. */
  total(kind: DropReason): number;
};

export function countLosses(logger: Logger): Losses {
  const totals = { queue_full: 0, export_failed: 0 };
  let spans = 0;
  let reason = '';
  let timer: NodeJS.Timeout | undefined;
  const report = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (spans > 0) logger.warn({ spans, reason }, 'spans dropped');
    spans = 0;
  };
  return {
    report,
    total: (kind) => totals[kind],
    note(lost, kind, why) {
      totals[kind] += lost;
      spans += lost;
      reason = why;
      timer ??= setTimeout(report, REPORT_MS).unref();
    },
  };
}

/**
 * Sends spans in batches. The SDK bounds those that wait; this bounds those that were sent and not answered as well.
 * `giveUp` counts all of them as lost.
 */
export function createProcessor(
  exporter: SpanExporter,
  losses: Pick<Losses, 'note'>,
): { readonly processor: SpanProcessor; readonly giveUp: () => void } {
  let pending = 0;
  const counting: SpanExporter = {
    export(spans, done) {
      exporter.export(spans, (result) => {
        pending -= spans.length;
        if (result.error) losses.note(spans.length, 'export_failed', result.error.message);
        done(result);
      });
    },
    shutdown: async () => await exporter.shutdown(),
  };
  const batches = new BatchSpanProcessor({
    exporter: counting,
    maxQueueSize: SPANS_MAX,
    scheduledDelayMillis: DELAY_MS,
  });
  const processor: SpanProcessor = {
    onStart() {},
    onEnd(span) {
      if (pending >= SPANS_MAX) {
        losses.note(1, 'queue_full', 'the collector is too slow');
        return;
      }
      pending += 1;
      batches.onEnd(span);
    },
    forceFlush: async () => await batches.forceFlush(),
    shutdown: async () => await batches.shutdown(),
  };
  return {
    processor,
    giveUp() {
      if (pending > 0) losses.note(pending, 'export_failed', 'the collector has not answered');
    },
  };
}
