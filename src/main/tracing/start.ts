// Starts the SDK of OpenTelemetry. This room is loaded only if the settings name a collector. All settings come from
// config.ts, except for two that only the exporter reads; see docs/TRACES.md.
import { setTimeout as sleep } from 'node:timers/promises';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { AlwaysOnSampler, TracerProvider } from '@opentelemetry/sdk-trace';
import { ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from '@opentelemetry/semantic-conventions';
import type { TraceSettings } from '../../config.ts';
import type { Logger } from '../../logger.ts';
import { VERSION } from '../../version.ts';
import type { Tracer } from '../tracer.ts';
import { countLosses, createProcessor } from './export.ts';
import { createSampling } from './sampling.ts';
import { createTracer } from './spans.ts';

/** How long the collector may take to answer, attempts included. */
const EXPORT_TIMEOUT_MS = 5000;
/** How long the stop of the service waits for the collector. */
const FLUSH_TIMEOUT_MS = 3000;
const NAME = 'gopherpay';

export type Tracing = {
  readonly tracer: Tracer;
  /** Sends the remaining spans, for a limited time. Never rejects. */
  stop(): Promise<void>;
};

export function startTracing(settings: TraceSettings, logger: Logger): Tracing {
  const { url, headers, serviceName, resourceAttributes } = settings;
  const losses = countLosses(logger);
  const exporter = new OTLPTraceExporter({
    url,
    headers,
    timeoutMillis: EXPORT_TIMEOUT_MS,
    httpAgentOptions: { keepAlive: true },
  });
  const resource = defaultResource().merge(
    resourceFromAttributes({
      [ATTR_SERVICE_NAME]: NAME,
      [ATTR_SERVICE_VERSION]: VERSION,
      ...resourceAttributes,
      ...(serviceName !== null && { [ATTR_SERVICE_NAME]: serviceName }),
    }),
  );
  const { processor, giveUp } = createProcessor(exporter, losses);
  const provider = new TracerProvider({ resource, spanProcessors: [processor], sampler: new AlwaysOnSampler() });
  const dropped = losses.total.bind(losses);
  return {
    tracer: createTracer(provider.getTracer(NAME, VERSION), { isSampled: createSampling(settings), dropped }),
    async stop() {
      // What it loses is counted, so an error needs no other report.
      const flushed = processor.shutdown().catch(() => {});
      await Promise.race([flushed, sleep(FLUSH_TIMEOUT_MS, undefined, { ref: false })]);
      giveUp();
      losses.report();
    },
  };
}
