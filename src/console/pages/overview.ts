// The overview: what happens now. The feed brings what is settled; the figures of the process, such as its queue and
// refusals, are read once a second, so an overload is seen as it happens.
import type { VNode } from 'preact';
import { html } from 'htm/preact';
import type { Sample } from '../activity.ts';
import { Chart } from '../chart.ts';
import { bytes, compact, count, duration } from '../format.ts';
import { useSession } from '../session.ts';
import { TransferTable } from '../transfer-table.ts';
import { Card, ErrorNote, Figure, Go, Loaded, PageHead } from '../ui.ts';
import { useActivity } from '../use-activity.ts';
import { type Feed, type FeedState, FLOOD_PER_SECOND, useFeed } from '../use-feed.ts';
import type { Activity, Transfer } from '../wire.ts';

export function Overview(): VNode {
  const { may, ledger, access } = useSession();
  const feed = useFeed();
  return html`<${PageHead}
      title="Overview"
      note=${`Ledger ${ledger}; queue, requests and refusals are of the whole process that answers.`}
    />
    ${may('metrics:read') && access.ledger === null ? html`<${Live} feed=${feed} />` : html`<p class="empty">Live figures are of all ledgers: they need a key for all of them, with the scope metrics:read.</p>`}
    ${may('transfers:read') && html`<${LatestTransfers} feed=${feed} />`}`;
}

function Live({ feed: { state, takeFigures } }: { feed: Feed }): VNode {
  const { latest, samples, error } = useActivity(takeFigures);
  return html`${error && html`<${ErrorNote} error=${error} />`}
    ${latest && html`<${Load} latest=${latest} samples=${samples} state=${state} />`} <${Charts} samples=${samples} />`;
}

/** The state in one sentence: what an operator asks first. */
function Load({ latest, samples, state }: { latest: Activity; samples: readonly Sample[]; state: FeedState }): VNode {
  const { queue } = latest;
  const sample = samples.at(-1);
  const refused = sample?.refusedPerSecond ?? 0;
  const settled = sample?.settledPerSecond ?? null;
  return html` ${refused > 0 && html`<p class="warning" role="status">Overload: ${count(refused)} requests a second are refused with 429. What was accepted is settled; callers should follow Retry-After.</p>`}
    <dl class="figures">
      <${Figure}
        name="Settled per second"
        value=${settled === null ? '–' : count(settled)}
        note=${state === 'not_allowed' ? 'by this process' : 'in this ledger'}
      />
      <${Figure}
        name="Waiting"
        value=${count(queue.transfers)}
        note=${`of ${count(queue.transfers_max)}`}
        fill=${queue.transfers / queue.transfers_max}
      />
      <${Figure}
        name="Waiting, in bytes"
        value=${bytes(queue.bytes)}
        note=${`of ${bytes(queue.bytes_max)}`}
        fill=${queue.bytes / queue.bytes_max}
      />
      <${Figure} name="Refused (429) per second" value=${count(refused)} />
      <${Figure}
        name="Time to final, p99"
        value=${sample?.p99 ? duration(sample.p99) : '–'}
        note=${sample?.p50 ? `median ${duration(sample.p50)}` : ''}
      />
      <${Figure}
        name="Settled since the start"
        value=${count(latest.totals.settled)}
        note=${duration(latest.uptime_seconds)}
      />
    </dl>`;
}

function Charts({ samples }: { samples: readonly Sample[] }): VNode {
  const times = samples.map(({ at }) => at);
  return html`<div class="grid">
    <${Card}
      ><${Chart}
        label="Settled and refused per second"
        times=${times}
        format=${count}
        formatAxis=${compact}
        series=${[
          { name: 'settled', color: '--series-1', values: samples.map(({ settledPerSecond }) => settledPerSecond) },
          {
            name: 'refused (429)',
            color: '--series-4',
            values: samples.map(({ refusedPerSecond }) => refusedPerSecond),
          },
        ]}
    /><//>
    <${Card}
      ><${Chart}
        label="Queue"
        times=${times}
        format=${count}
        formatAxis=${compact}
        series=${[
          { name: 'waiting', color: '--series-3', values: samples.map(({ queue }) => queue) },
          { name: 'limit', color: '--series-4', isLimit: true, values: samples.map(({ queueMax }) => queueMax) },
        ]}
    /><//>
    <${Card}
      ><${Chart}
        label="Time to final"
        times=${times}
        format=${duration}
        series=${[
          { name: 'median', color: '--series-1', values: samples.map(({ p50 }) => p50) },
          { name: 'p99', color: '--series-2', values: samples.map(({ p99 }) => p99) },
        ]}
    /><//>
    <${Card}
      ><${Chart}
        label="Requests per second"
        times=${times}
        format=${count}
        formatAxis=${compact}
        series=${[
          { name: 'requests', color: '--series-2', values: samples.map(({ requestsPerSecond }) => requestsPerSecond) },
        ]}
    /><//>
  </div>`;
}

/** How the latest transfers come. */
const SOURCES: Readonly<Record<FeedState, string>> = {
  connecting: 'Connecting to the feed …',
  following: 'Live, from the feed.',
  flood: `More than ${count(FLOOD_PER_SECOND)} a second: read once a second, without the feed.`,
  refused: 'All streams of the feed are in use: read once a second.',
  not_allowed: 'Read once a second: the feed needs the scope events:read, for all accounts.',
};

function LatestTransfers({ feed: { newest, error, state } }: { feed: Feed }): VNode {
  return html`<${Card}
    title="Latest transfers"
    aside=${html`<span class="actions"><span class="note" role="status">${SOURCES[state]}</span> <${Go} to=${['transfers']}>All transfers<//></span>`}
  >
    <${Loaded} data=${{ value: newest, error }}
      >${(items: readonly Transfer[]) => html`<${TransferTable} transfers=${items} />`}<//
    >
  <//>`;
}
