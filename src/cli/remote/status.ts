// gopherpay status: whether a service is alive and ready, for a person, and for a script by its exit code.
import { defineCommand } from 'citty';
import { z } from 'zod';
import { CommandError, EXIT, interruptible, parseArguments } from '../command.ts';
import { writeStandardOutput } from '../file.ts';
import { type Answer, sendOnce, type Service } from './connection.ts';
import { CONNECTION_ARGUMENTS, CONNECTION_OPTIONS, serviceOf } from './options.ts';
import { notGopherPay } from './refusal.ts';
import { renderDetails } from './table.ts';
import { jsonLine } from './text.ts';

/** The status is that of no ledger. */
const { ledger: _argument, ...CONNECTION } = CONNECTION_ARGUMENTS;
const { ledger: _option, ...OPTIONS } = { ...CONNECTION_OPTIONS, json: z.boolean().default(false) };

export const status = defineCommand({
  meta: {
    name: 'status',
    description: 'Show whether a running service is ready, its version, its queue and its latency.',
  },
  args: { json: { type: 'boolean', description: 'The result as JSON' }, ...CONNECTION },
  async run({ args }) {
    const options = parseArguments(OPTIONS, args);
    const service = await serviceOf(options);
    await interruptible(async (signal) => {
      const result = await readStatus(service, signal);
      await writeStandardOutput([options.json ? jsonLine(result) : renderDetails(result)], signal);
      if (!result.ready) throw new CommandError(EXIT.outOfReach, `The service at ${service.url} is not ready.`);
    });
  },
});

const health = z.object({ status: z.literal('alive') });
const notReady = z.object({ code: z.string(), failing: z.array(z.string()).optional() });
const description = z.object({ info: z.object({ version: z.string() }) });

type Status = {
  readonly url: string;
  readonly version: string | null;
  readonly ready: boolean;
  /** The parts that fail, or why the service is not ready; null if it is. */
  readonly failing: string | null;
  /** Null: it is not known, because the service stops. */
  readonly database_reachable: boolean | null;
  /** Transfers that are admitted and not yet final; null if the key may not read metrics, or another listener has them. */
  readonly queue: number | null;
  /** Of one request that reads nothing, on an open connection. */
  readonly latency_ms: number;
};

async function readStatus(service: Service, signal: AbortSignal): Promise<Status> {
  const read = async (path: string) => await sendOnce(service, { method: 'GET', path, global: true }, signal);
  const first = await read('/healthz');
  if (!health.safeParse(first.json).success) throw notGopherPay(service, `/healthz answers ${first.status}`);
  const startedAt = performance.now();
  await read('/healthz');
  const latencyMs = performance.now() - startedAt;
  const readiness = await read('/readyz');
  const problem = notReady.safeParse(readiness.json).data;
  const ready = readiness.status === 200;
  return {
    url: service.url,
    version: description.safeParse((await read('/openapi.json')).json).data?.info.version ?? null,
    ready,
    failing: ready ? null : (problem?.failing?.join(', ') ?? problem?.code ?? String(readiness.status)),
    database_reachable: ready || problem?.code === 'not_ready' ? ready : null,
    queue: queueOf(await read('/metrics')),
    latency_ms: Math.round(latencyMs * 10) / 10,
  };
}

function queueOf({ status, text }: Answer): number | null {
  const [, count] = /^gopherpay_queue_transfers(?:\{[^}]*\})? (\d+)$/m.exec(text) ?? [];
  return status === 200 && count !== undefined ? Number(count) : null;
}
