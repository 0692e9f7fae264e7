// Starts tracing, if the settings name a collector.
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { Tracer } from './tracer.ts';

/** Null: there is no collector, and nothing of OpenTelemetry is loaded. */
export async function startTracing(
  { traces }: Config,
  logger: Logger,
  stack: AsyncDisposableStack,
): Promise<Tracer | null> {
  if (!traces) return null;
  const tracing = (await import('./tracing/start.ts')).startTracing(traces, logger);
  // Registered first, so it stops last, when every span has ended.
  stack.defer(async () => await tracing.stop());
  return tracing.tracer;
}
