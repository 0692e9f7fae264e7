// Decides which requests are sampled, before the SDK makes anything of them: for a request that is not sampled, its samplers
// would make ids, attributes and a span first.
import type { TraceSettings } from '../../config.ts';
import type { CallerTrace } from '../tracer.ts';

/** Whether the request that continues this trace is sampled; undefined: it continues none. */
export type Sampling = (continued: CallerTrace | undefined) => boolean;

export function createSampling({ sampler, ratio }: Pick<TraceSettings, 'sampler' | 'ratio'>): Sampling {
  switch (sampler) {
    case 'always_on':
      return () => true;
    case 'always_off':
      return () => false;
    case 'traceidratio':
      return (continued) => (continued ? isBelow(continued.traceId, ratio) : isDrawn(ratio));
    case 'parentbased_always_on':
      return (continued) => continued?.sampled ?? true;
    case 'parentbased_always_off':
      return (continued) => continued?.sampled ?? false;
    case 'parentbased_traceidratio':
      return (continued) => continued?.sampled ?? isDrawn(ratio);
  }
}

function isDrawn(ratio: number): boolean {
  return Math.random() < ratio;
}

/**
 * Whether an id, as a number, is in the sampled share of all ids, by the rule of OpenTelemetry's SDKs: services with the same
 * ratio sample the same traces.
 */
function isBelow(traceId: string, ratio: number): boolean {
  if (ratio >= 1) return true;
  let folded = 0;
  for (let at = 0; at < traceId.length; at += 8) folded ^= Number.parseInt(traceId.slice(at, at + 8), 16);
  return folded >>> 0 < Math.floor(ratio * 0xffffffff);
}
